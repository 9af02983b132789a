//! `plumb verify` on exported bundles: what is done to one shows.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use plumb::audit::{Key, Signing};
use plumb::evidence::manifest::State;
use plumb::export::check::{SignatureState, verify};
use plumb::export::{
    FileEntry, MANIFEST, Manifest, SIGNATURE, SignatureFile, TicketEntry, Treatment,
};
use sha2::Digest;

use crate::service::plumb;

const ALARM: &str = "alarms/019a0b1c-7d2e-7f00-8a00-0123456789ab";

fn sha256(bytes: &[u8]) -> String {
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A bundle of two files, as (name, bytes) in its order.
fn bundle(key: &Key) -> Vec<(String, Vec<u8>)> {
    let files = [("clip.mp4", "a clip"), ("alarm.json", "{}")];
    let files = files.map(|(name, text)| (format!("{ALARM}/{name}"), text.as_bytes().to_vec()));
    let manifest = Manifest {
        format: "plumb-export-1".to_owned(),
        plumb_version: "0.1.0".to_owned(),
        made_at_ms: 1,
        ticket: TicketEntry {
            number: "E-17".to_owned(),
            reason: "the police asked".to_owned(),
            scope: "one alarm".to_owned(),
            treatment: Treatment::Protected,
            asked_by: "li.na".to_owned(),
            asked_at_ms: 1,
            approved_by: "boss".to_owned(),
            approved_at_ms: 2,
            expires_at_ms: 3,
        },
        alarms: Vec::new(),
        files: files
            .iter()
            .map(|(name, bytes)| FileEntry {
                name: name.clone(),
                media_type: "video/mp4".to_owned(),
                size_bytes: bytes.len() as u64,
                sha256: sha256(bytes),
                source_sha256: None,
            })
            .collect(),
        missing: Vec::new(),
    };
    let manifest = manifest.to_bytes();
    let signature = SignatureFile::sign(&manifest, key).to_bytes();
    let mut all = files.to_vec();
    all.push((MANIFEST.to_owned(), manifest));
    all.push((SIGNATURE.to_owned(), signature));
    all
}

fn pack(path: &Path, files: &[(String, Vec<u8>)]) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).expect("writable"));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in files {
        zip.start_file(name.as_str(), stored).expect("a name");
        zip.write_all(bytes).expect("writable");
    }
    zip.finish().expect("writable");
}

fn unpack(folder: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(path, bytes).expect("writable");
    }
}

struct Case {
    folder: tempfile::TempDir,
    key: Key,
}

impl Case {
    fn new(signing: Signing) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = Key::open_or_make(folder.path(), signing).expect("a key");
        Self { folder, key }
    }

    fn packed(&self, files: &[(String, Vec<u8>)]) -> PathBuf {
        let path = self.folder.path().join("bundle.zip");
        pack(&path, files);
        path
    }
}

#[test]
fn a_bundle_is_whole_packed_and_unpacked_by_either_key() {
    for signing in Signing::ALL {
        let case = Case::new(signing);
        let files = bundle(&case.key);
        let unpacked = case.folder.path().join("unpacked");
        unpack(&unpacked, &files);
        for path in [case.packed(&files), unpacked] {
            let report = verify(&path).expect("a bundle");
            assert!(
                report.is_whole(),
                "{:?} {:?}",
                report.findings,
                report.signatures
            );
            assert!(report.is_signed_by(&[case.key.public()]));
            assert!(!report.is_signed_by(&["x".to_owned()]));
        }
    }
}

#[test]
fn what_is_done_to_a_bundle_is_named() {
    let case = Case::new(Signing::Ed25519);
    let files = bundle(&case.key);
    let state = |files: &[(String, Vec<u8>)], name: &str| {
        let report = verify(&case.packed(files)).expect("a bundle");
        assert!(!report.is_whole(), "{:?}", report.findings);
        let found = report.findings.into_iter().find(|found| found.name == name);
        found.map(|found| found.state)
    };
    let clip = format!("{ALARM}/clip.mp4");
    let mut altered = files.clone();
    altered[0].1 = b"a clap".to_vec();
    assert_eq!(state(&altered, &clip), Some(State::Altered));
    assert_eq!(state(&files[1..], &clip), Some(State::Missing));
    let mut extra = files.clone();
    extra.push((format!("{ALARM}/more.jpg"), b"x".to_vec()));
    assert_eq!(
        state(&extra, &format!("{ALARM}/more.jpg")),
        Some(State::Extra)
    );
    // The manifest is changed, and the signatures stay.
    let mut lies = files.clone();
    lies[2].1 = String::from_utf8(lies[2].1.clone())
        .expect("text")
        .replace("the police", "nobody")
        .into_bytes();
    assert_eq!(state(&lies, MANIFEST), Some(State::Altered));
    // Also its digest among the signatures: then no signature holds.
    let old = sha256(&files[2].1);
    lies[3].1 = String::from_utf8(lies[3].1.clone())
        .expect("text")
        .replace(&old, &sha256(&lies[2].1))
        .into_bytes();
    let report = verify(&case.packed(&lies)).expect("a bundle");
    assert!(!report.is_whole());
    assert_eq!(report.signatures[0].state, SignatureState::Broken);
    // Signed by somebody else: whole in itself, by a key that nobody knows.
    let other = Case::new(Signing::Ed25519);
    let report = verify(&case.packed(&bundle(&other.key))).expect("a bundle");
    assert!(report.is_whole() && !report.is_signed_by(&[case.key.public()]));
}

#[test]
fn what_is_no_bundle_is_refused_with_its_reason() {
    let case = Case::new(Signing::Ed25519);
    let files = bundle(&case.key);
    let says = |path: &Path| verify(path).expect_err("refused").to_string();
    assert!(says(&case.packed(&files[..2])).contains("holds no manifest.json"));
    assert!(says(&case.packed(&files[..3])).contains("holds no signature.json"));
    let text = case.folder.path().join("bundle.txt");
    fs::write(&text, "no archive of any kind, and longer than an end").expect("writable");
    assert!(says(&text).contains("no ZIP file"), "{}", says(&text));
    // Two of one name: programs would disagree on which one is meant.
    let mut twice = files.clone();
    twice[1].0 = format!("{ALARM}/clip.mpX");
    let path = case.packed(&twice);
    let mut bytes = fs::read(&path).expect("readable");
    let (from, to) = (b"clip.mpX".as_slice(), b"clip.mp4".as_slice());
    for at in 0..bytes.len() - from.len() {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
    }
    fs::write(&path, bytes).expect("writable");
    assert!(says(&path).contains("same name"), "{}", says(&path));
}

#[test]
fn the_command_tells_and_exits_by_what_it_found() {
    let case = Case::new(Signing::Ed25519);
    let files = bundle(&case.key);
    let path = case.packed(&files).display().to_string();
    let known = case.folder.path().join("checkpoint.json");
    let checkpoint = case.key.sign(1, &"ab".repeat(32), 5);
    let text = serde_json::to_string(&checkpoint).expect("JSON");
    fs::write(&known, text).expect("writable");
    let known = known.display().to_string();
    let ran = plumb(&["verify", &path, "--checkpoint", &known]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.code(), Some(0), "{said}");
    assert!(said.contains("E-17 for li.na, allowed by boss"), "{said}");
    let other = Case::new(Signing::Ed25519);
    let path = case.packed(&bundle(&other.key)).display().to_string();
    let ran = plumb(&["verify", &path, "--checkpoint", &known, "--json"]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    let last: serde_json::Value =
        serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    assert_eq!(
        (&last["key_known"], &last["intact"]),
        (&false.into(), &false.into())
    );
}
