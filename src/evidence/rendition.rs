//! Renditions: copies of evidence in which is hidden what whoever looks must not see, kept so that
//! each is made once. They lie beside the evidence folder, `shown/<alarm's folder>/<key>.<ending>`:
//! an alarm's own folder holds what its manifest names and nothing else.
//!
//! The key is a digest of the original's digest and of what is hidden, so another mask or another
//! original is another rendition. Losing one costs the time to make it anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::redact::Hidden;
use super::room::below;
use super::{EvidenceFile, sha256_hex};

/// Goes up when renditions are made in another way.
const VERSION: u32 = 1;

/// Returns the folder of all renditions.
pub fn root(evidence_root: &Path) -> PathBuf {
    evidence_root.with_file_name("shown")
}

/// Returns what names the rendition of a file, as 32 hexadecimal digits.
pub fn key(file: &EvidenceFile, hidden: &Hidden) -> String {
    let hidden = serde_json::to_string(hidden).expect("numbers always become JSON");
    let mut key = sha256_hex(format!("{VERSION} {} {hidden}", file.sha256).as_bytes());
    key.truncate(32);
    key
}

/// Returns where the rendition lies or would lie; none where the row's names lead elsewhere.
pub fn path(
    evidence_root: &Path,
    folder: &str,
    file: &EvidenceFile,
    hidden: &Hidden,
) -> Option<PathBuf> {
    let ending = Path::new(&file.name).extension()?.to_str()?;
    let name = format!("{}.{ending}", key(file, hidden));
    below(&root(evidence_root), [folder, &name])
}

/// Returns the folder of a segment of footage among the renditions', as an alarm's is named.
pub fn footage_folder(segment: i64) -> String {
    format!("footage/{segment}")
}

/// Removes the renditions of an alarm, or of a segment of footage, by its folder. That there are none is no failure.
pub fn remove(evidence_root: &Path, folder: &str) -> io::Result<()> {
    let Some(path) = below(&root(evidence_root), [folder]) else {
        return Ok(());
    };
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(day) = path.parent() {
        // Fails while other alarms of that day have renditions, as it should.
        fs::remove_dir(day).ok();
    }
    Ok(())
}

/// Returns how many bytes all renditions take.
pub fn used_bytes(evidence_root: &Path) -> u64 {
    all(&root(evidence_root))
        .iter()
        .map(|made| made.bytes)
        .sum()
}

/// Removes the oldest renditions until the rest takes at most `most_bytes`, and returns how many bytes
/// went.
pub fn trim(evidence_root: &Path, most_bytes: u64) -> u64 {
    let mut made = all(&root(evidence_root));
    made.sort_by_key(|made| made.at);
    let mut over = made
        .iter()
        .map(|made| made.bytes)
        .sum::<u64>()
        .saturating_sub(most_bytes);
    let mut gone = 0;
    for made in made {
        if over == 0 {
            break;
        }
        // One that cannot be removed is tried again at the next turn.
        if fs::remove_file(&made.path).is_ok() {
            gone += made.bytes;
            over = over.saturating_sub(made.bytes);
        }
    }
    gone
}

struct Made {
    path: PathBuf,
    at: SystemTime,
    bytes: u64,
}

/// Returns the files two folders below `root`: a day's, an alarm's. Those that vanish meanwhile do not
/// count.
fn all(root: &Path) -> Vec<Made> {
    let entries = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.filter_map(Result::ok)
    };
    let days = entries(root.to_path_buf());
    let alarms = days.flat_map(|day| entries(day.path()));
    let files = alarms.flat_map(|alarm| entries(alarm.path()));
    files
        .filter_map(|entry| {
            let found = entry.metadata().ok()?;
            Some(Made {
                path: entry.path(),
                at: found.modified().ok()?,
                bytes: found.len(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(sha256: &str) -> EvidenceFile {
        EvidenceFile {
            name: "clip.mp4".to_owned(),
            media_type: "video/mp4".to_owned(),
            size_bytes: 1,
            sha256: sha256.to_owned(),
        }
    }

    #[test]
    fn another_original_or_mask_is_another_rendition() {
        let root = Path::new("/data/evidence");
        let of = |sha256, hidden: &Hidden| path(root, "2026-01-31/a", &file(sha256), hidden);
        let one = of("aa", &Hidden::People).expect("a path");
        assert!(one.starts_with("/data/shown/2026-01-31/a"));
        assert_eq!(of("aa", &Hidden::People), Some(one.clone()));
        assert_ne!(of("ab", &Hidden::People), Some(one.clone()));
        let masks = Hidden::Masks(vec![crate::geometry::Polygon::default()]);
        assert_ne!(of("aa", &masks), Some(one));
        assert_eq!(path(root, "../x", &file("aa"), &masks), None);
    }

    #[test]
    fn the_oldest_go_first_and_an_alarms_go_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let evidence_root = folder.path().join("evidence");
        let names = ["2026-01-01/a", "2026-01-01/b", "2026-01-02/c"];
        for (age, name) in names.iter().enumerate() {
            let path = path(&evidence_root, name, &file("aa"), &Hidden::People).expect("a path");
            fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            fs::write(&path, [0; 100]).expect("writable");
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age as u64);
            let made = fs::File::open(&path).expect("a file");
            made.set_modified(at).expect("writable");
        }
        assert_eq!(used_bytes(&evidence_root), 300);
        assert_eq!(trim(&evidence_root, 250), 100);
        let left = path(&evidence_root, names[1], &file("aa"), &Hidden::People);
        assert!(left.expect("a path").exists());
        remove(&evidence_root, names[2]).expect("removed");
        remove(&evidence_root, names[2]).expect("nothing to do");
        assert_eq!(used_bytes(&evidence_root), 100);
    }
}
