//! A QR code as an SVG path: the page draws it itself, since no picture may come from elsewhere and
//! no secret may stand in a picture's address.

use std::fmt::Write;

use qrcode::{Color, EcLevel, QrCode};

/// Modules of white around the code, as ISO/IEC 18004 asks for.
const QUIET: usize = 4;

/// A QR code to be drawn.
pub(super) struct Qr {
    /// Side of the square, quiet zone included, in modules.
    pub(super) side: usize,
    /// A run of dark modules of a row a subpath.
    pub(super) path: String,
}

/// Returns the code that says `text`; none where it is too long for one.
pub(super) fn of(text: &str) -> Option<Qr> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (row, modules) in code.to_colors().chunks(width).enumerate() {
        let mut column = 0;
        for run in modules.chunk_by(|one, next| one == next) {
            if run[0] == Color::Dark {
                let (x, y, length) = (column + QUIET, row + QUIET, run.len());
                let _ = write!(path, "M{x} {y}h{length}v1h-{length}z");
            }
            column += run.len();
        }
    }
    let side = width + 2 * QUIET;
    Some(Qr { side, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_square_and_has_its_three_corners() {
        let qr = of("otpauth://totp/Plumb:li.na?secret=GEZDGNBVGY3TQOJQ").expect("short enough");
        assert!(qr.side > 2 * QUIET + 20);
        let far = qr.side - QUIET - 7;
        for corner in [
            format!("M{QUIET} {QUIET}h7"),
            format!("M{far} {QUIET}h7"),
            format!("M{QUIET} {far}h7"),
        ] {
            assert!(qr.path.contains(&corner), "{corner} in {}", qr.path);
        }
        assert!(of(&"x".repeat(5000)).is_none());
    }
}
