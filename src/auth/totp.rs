//! The second factor: codes of six digits that follow from a shared secret and the time (TOTP,
//! RFC 6238), and recovery codes for whoever has lost the phone.
//!
//! Twenty lines over ring's HMAC, which is in the build already, rather than a crate: what needs
//! thought (each code once, the lock) is the store's. SHA-1, six digits and 30 s, because
//! authenticator apps ignore other choices.

use std::fmt;

use ring::hmac;
use sha2::{Digest, Sha256};

/// How long a code holds (RFC 6238, section 5.2).
const STEP_MS: i64 = 30_000;
const DIGITS: u32 = 6;
/// Recovery codes that are made together.
pub const RECOVERY_CODES: usize = 10;

/// A shared secret: 160 bits, the size of the hash (RFC 4226, section 4). It prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret([u8; 20]);

impl TotpSecret {
    /// Returns a secret that nobody knows yet.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// Returns the secret of these bytes; none where it is not of its size.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// Returns the bytes, for the store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the secret as people type it into an app: base32 (RFC 4648), without padding, of which
    /// 160 bits need none.
    pub fn base32(&self) -> String {
        const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let letters = self.0.chunks(5).flat_map(|chunk| {
            let bits = chunk
                .iter()
                .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            (0..8)
                .rev()
                .map(move |place| LETTERS[(bits >> (5 * place) & 31) as usize])
        });
        letters.map(char::from).collect()
    }

    /// Returns the address that a QR code shows an app, for the account of that name.
    pub fn address(&self, account: &str) -> String {
        // An account's name holds nothing that an address would have to escape.
        let secret = self.base32();
        format!(
            "otpauth://totp/Plumb:{account}?secret={secret}&issuer=Plumb&algorithm=SHA1&digits=6&period=30"
        )
    }

    /// Returns the code of a step.
    pub fn code_of(&self, step: i64) -> String {
        let digits = self.truncated(step) % 10_u32.pow(DIGITS);
        format!("{digits:0width$}", width = DIGITS as usize)
    }

    /// Returns the step whose code was typed, of the step now and the one on either side (clocks
    /// drift, and people type slowly), if it is later than `last_step`: each code counts once.
    pub fn step_of(&self, typed: &str, now_ms: i64, last_step: i64) -> Option<i64> {
        let now = step_at(now_ms);
        // Of digests, so that the time it takes tells nothing of the code.
        let shown = Sha256::digest(digits_of(typed).as_bytes());
        let fits = |step: &i64| Sha256::digest(self.code_of(*step).as_bytes()) == shown;
        [now, now - 1, now + 1]
            .into_iter()
            .filter(|step| *step > last_step)
            .find(fits)
    }

    /// Returns the 31 bits from which a code is taken (RFC 4226, section 5.3).
    fn truncated(&self, step: i64) -> u32 {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag[tag.len() - 1] & 0x0f);
        let four = [
            tag[offset],
            tag[offset + 1],
            tag[offset + 2],
            tag[offset + 3],
        ];
        u32::from_be_bytes(four) & 0x7fff_ffff
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret")
    }
}

/// Returns the step of a moment.
pub fn step_at(now_ms: i64) -> i64 {
    now_ms.div_euclid(STEP_MS)
}

/// Returns new recovery codes, each of 79 bits, to be told once.
pub fn recovery_codes() -> Vec<String> {
    (0..RECOVERY_CODES)
        .map(|_| super::password::groups::<4, 4>())
        .collect()
}

/// Returns what is kept of a recovery code. SHA-256 is enough: nobody can guess 79 random bits.
/// Blanks, hyphens and capitals do not matter.
pub fn recovery_digest(typed: &str) -> String {
    let letters = typed.chars().filter(|c| c.is_ascii_alphanumeric());
    let letters: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    super::secret::hex(&Sha256::digest(letters.as_bytes()))
}

/// Apps show a code as two groups, and people type the blank.
fn digits_of(typed: &str) -> String {
    typed.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_rfc() -> TotpSecret {
        TotpSecret::of_bytes(b"12345678901234567890").expect("20 bytes")
    }

    /// RFC 6238, appendix B, the rows of SHA-1: the last six of its eight digits.
    #[test]
    fn codes_are_those_of_rfc_6238() {
        for (at_s, eight) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(of_rfc().code_of(step_at(at_s * 1000)), eight[2..], "{at_s}");
        }
    }

    #[test]
    fn a_clock_may_drift_by_one_step_and_no_code_counts_twice() {
        let (secret, now_ms) = (of_rfc(), 1_234_567_890_000);
        let now = step_at(now_ms);
        for (step, is_taken) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let code = secret.code_of(now + step);
            let found = secret.step_of(&code, now_ms, 0);
            assert_eq!(found, is_taken.then_some(now + step), "{step}");
        }
        let code = secret.code_of(now);
        assert_eq!(secret.step_of(&code, now_ms, now), None, "shown already");
        assert_eq!(
            secret.step_of(&code, now_ms, now + 1),
            None,
            "a later one was shown"
        );
        assert_eq!(secret.step_of(" 005 924 ", now_ms, now - 1), Some(now));
        for bad in ["", "005925", "5924", "0059240"] {
            assert_eq!(secret.step_of(bad, now_ms, 0), None, "{bad}");
        }
    }

    /// RFC 4648, section 10, with the letters that 20 bytes give.
    #[test]
    fn an_app_can_be_told_the_secret() {
        let secret = of_rfc();
        assert_eq!(secret.base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let address = secret.address("li.na");
        assert!(
            address.starts_with("otpauth://totp/Plumb:li.na?secret=GEZDGNBV"),
            "{address}"
        );
        assert_eq!(format!("{secret:?}"), "TotpSecret");
        assert_ne!(TotpSecret::random(), TotpSecret::random());
    }

    #[test]
    fn a_recovery_code_may_be_typed_as_people_type() {
        let codes = recovery_codes();
        assert_eq!(codes.len(), RECOVERY_CODES);
        assert_eq!(codes[0].len(), 19, "{}", codes[0]);
        assert_ne!(codes[0], codes[1]);
        let typed = codes[0].to_uppercase().replace('-', " ");
        assert_eq!(recovery_digest(&typed), recovery_digest(&codes[0]));
        assert_ne!(recovery_digest(&codes[1]), recovery_digest(&codes[0]));
    }
}
