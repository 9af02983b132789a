//! What is signed and digested with national ciphers, held against the `openssl` program, which nobody
//! here wrote, and against the standards' own examples.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plumb::audit::{Algorithm, Checkpoint, Key, Row, Signing, digest};

fn openssl(folder: &Path, arguments: &[&str]) -> Output {
    let ran = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    ran.expect("Debian's openssl is installed")
}

/// Checks a checkpoint as a third party would, by the script that the README names.
fn check(folder: &Path, checkpoint: &Checkpoint) -> Output {
    let text = serde_json::to_vec(checkpoint).expect("JSON");
    fs::write(folder.join("checkpoint.json"), text).expect("writable");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/check_checkpoint.sh");
    let ran = Command::new("sh")
        .arg(script)
        .arg("checkpoint.json")
        .current_dir(folder)
        .output();
    ran.expect("a shell")
}

#[test]
fn openssl_checks_the_checkpoints_that_plumb_signs() {
    for signing in Signing::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let key = Key::open_or_make(folder.path(), signing).expect("a key");
        // Signatures differ each time, also in the length of their numbers.
        for seq in 1..=16 {
            let signed = key.sign(seq, &format!("sm3:{}", "5e".repeat(32)), 1_769_853_600_000);
            let checked = check(folder.path(), &signed);
            assert!(checked.status.success(), "{signing:?} {checked:?}");
            let said = String::from_utf8_lossy(&checked.stdout).into_owned();
            assert!(said.contains("Verified Successfully"), "{said}");
            assert!(said.contains(&key.public()), "{said}");
            let moved = Checkpoint {
                seq: seq + 1,
                ..signed
            };
            assert!(!check(folder.path(), &moved).status.success());
        }
        // The key file is one that openssl reads as well; that of Ed25519 holds its public half, too
        // (RFC 5958), which OpenSSL 3.0 does not read.
        if signing != Signing::Sm2 {
            continue;
        }
        let read = openssl(
            folder.path(),
            &["pkey", "-in", signing.key_file(), "-noout"],
        );
        assert!(read.status.success(), "{read:?}");
    }
}

#[test]
fn plumb_checks_what_openssl_signs_with_sm2() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let ran = openssl(folder.path(), arguments);
        assert!(ran.status.success(), "{arguments:?} {ran:?}");
        ran.stdout
    };
    fs::write(folder.path().join("text"), "a text of somebody else\n").expect("writable");
    run(&["genpkey", "-algorithm", "SM2", "-out", "key.pem"]);
    let public = run(&["pkey", "-in", "key.pem", "-pubout", "-outform", "DER"]);
    // The point is the end of the public key.
    let point = STANDARD.encode(&public[public.len() - 65..]);
    let of = [
        "pkeyutl",
        "-sign",
        "-inkey",
        "key.pem",
        "-rawin",
        "-digest",
        "sm3",
        "-in",
        "text",
        "-pkeyopt",
        "distid:1234567812345678",
    ];
    for _ in 0..8 {
        let signature = STANDARD.encode(raw(&run(&of)));
        let holds = |text| Signing::Sm2.is_signed_text(&point, &signature, text);
        assert!(holds("a text of somebody else\n"));
        assert!(!holds("another text\n"));
    }
}

/// Returns r and s of a signature in DER, 32 bytes each.
fn raw(der: &[u8]) -> Vec<u8> {
    let mut numbers = Vec::new();
    let mut rest = &der[2..];
    while let [2, length, tail @ ..] = rest {
        let (number, after) = tail.split_at(usize::from(*length));
        let number = &number[number.len().saturating_sub(32)..];
        numbers.extend(vec![0; 32 - number.len()]);
        numbers.extend_from_slice(number);
        rest = after;
    }
    assert_eq!(numbers.len(), 64, "{der:?}");
    numbers
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |two: &[u8]| {
        let two = std::str::from_utf8(two).expect("ASCII");
        u8::from_str_radix(two, 16).expect("hexadecimal")
    };
    digits.chunks(2).map(byte).collect()
}

#[test]
fn the_example_of_the_sm2_standard_holds() {
    // GB/T 32918.5-2017, annex A.2: "message digest" signed by the recommended curve's example key,
    // with the identity 1234567812345678 in ASCII.
    let point = bytes(
        "04 09F9DF31 1E5421A1 50DD7D16 1E4BC5C6 72179FAD 1833FC07 6BB08FF3 56F35020 \
         CCEA490C E26775A5 2DC6EA71 8CC1AA60 0AED05FB F35E084A 6632F607 2DA9AD13",
    );
    let signature = bytes(
        "F5A03B06 48D2C463 0EEAC513 E1BB81A1 5944DA38 27D5B741 43AC7EAC EEE720B3 \
         B1B6AA29 DF212FD8 763182BC 0D421CA1 BB9038FD 1F7F42D4 840B69C4 85BBC1AA",
    );
    let (point, mut wrong) = (STANDARD.encode(point), signature.clone());
    let holds = |signature: &[u8]| {
        Signing::Sm2.is_signed_text(&point, &STANDARD.encode(signature), "message digest")
    };
    assert!(holds(&signature));
    wrong[63] ^= 1;
    assert!(!holds(&wrong));
}

#[test]
fn the_chain_of_sm3_is_what_openssl_makes_of_its_rows() {
    // GB/T 32905-2016, annex A.1 and A.2.
    let folder = tempfile::tempdir().expect("a folder");
    let sm3 = |text: &[u8]| {
        fs::write(folder.path().join("text"), text).expect("writable");
        let ran = openssl(folder.path(), &["dgst", "-sm3", "-r", "text"]);
        let said = String::from_utf8(ran.stdout).expect("text");
        said.split(' ').next().expect("a digest").to_owned()
    };
    assert_eq!(
        sm3(b"abc"),
        "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    );
    for detail in [None, Some("from 192.0.2.7"), Some("两行\n\"x\"")] {
        let row = Row {
            seq: 7,
            at_ms: 1_769_853_600_000,
            who: "li.na",
            action: "evidence.seen",
            object: "a/clip.mp4",
            outcome: "done",
            detail,
        };
        let before = "0".repeat(64);
        let own = digest(Algorithm::Sm3, &before, &row);
        // As `audit::digest` says it is: each part with its length before it.
        let (seq, at_ms) = (row.seq.to_string(), row.at_ms.to_string());
        let parts = [
            "plumb-audit-1-sm3",
            &before,
            &seq,
            &at_ms,
            row.who,
            row.action,
            row.object,
            row.outcome,
        ];
        let part = |part: &str| format!("{}:{part}", part.len());
        let mut text: String = parts.into_iter().map(part).collect();
        text += &detail.map_or_else(|| "-".to_owned(), part);
        assert_eq!(own, format!("sm3:{}", sm3(text.as_bytes())));
    }
}
