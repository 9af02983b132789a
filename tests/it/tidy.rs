//! Holds what the compiler cannot: the direction of `use`, who may name whom, purity, file size.

use std::fs;
use std::path::{Path, PathBuf};

/// The stream in its order; a stage may use those before it and the base.
const STREAM: [&str; 18] = [
    "source", "decode", "detect", "track", "scene", "verify", "alarm", "evidence", "footage",
    "auth", "audit", "store", "export", "report", "deliver", "http", "config", "pipeline",
];

/// Lines of a file before its tests.
const MAX_LINES: usize = 500;

struct Source {
    path: PathBuf,
    /// Relative to src/, with forward slashes.
    name: String,
    /// Without comments and without its inline tests.
    code: String,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable source folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(read(&root, path));
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn read(root: &Path, path: PathBuf) -> Source {
    let text = fs::read_to_string(&path).expect("a source file in UTF-8");
    let body = text
        .split("\n#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let uncommented = |line: &&str| !line.trim_start().starts_with("//");
    let code = body
        .lines()
        .filter(uncommented)
        .collect::<Vec<_>>()
        .join("\n");
    let name = path
        .strip_prefix(root)
        .expect("below src")
        .to_string_lossy()
        .replace('\\', "/");
    Source {
        lines: body.lines().count(),
        path,
        name,
        code,
    }
}

fn stage(name: &str) -> &str {
    name.split('/')
        .next()
        .unwrap_or(name)
        .trim_end_matches(".rs")
}

#[test]
fn stages_use_upstream_only() {
    let order = |stage: &str| STREAM.iter().position(|known| *known == stage);
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = order(stage(&source.name)) else {
            continue;
        };
        for (index, _) in source.code.match_indices("crate::") {
            let rest = &source.code[index + "crate::".len()..];
            let used = rest
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap_or("");
            if order(used).is_some_and(|used| used > own) {
                wrong.push(format!("{} uses {used}, which is downstream", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn libraries_stay_in_their_files() {
    let rules: [(&[&str], &[&str]); 4] = [
        (&["ort::"], &["detect/session.rs"]),
        (
            &["ffmpeg_next", "ff::"],
            &[
                "source/file.rs",
                "decode/ffmpeg.rs",
                "decode/ffmpeg/",
                "evidence/clip.rs",
                "evidence/recode.rs",
                "evidence/mux.rs",
                "evidence/relay.rs",
            ],
        ),
        (&["sqlx::"], &["store/"]),
        (&["axum::"], &["http/"]),
    ];
    let mut wrong = Vec::new();
    for source in sources() {
        for (words, homes) in rules {
            let at_home = homes.iter().any(|home| source.name.starts_with(home));
            let named = words.iter().find(|word| names(&source.code, word));
            if let (false, Some(word)) = (at_home, named) {
                wrong.push(format!(
                    "{} names {word}, which belongs in {homes:?}",
                    source.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether `code` holds `word` at the start of a path, not as the tail of a longer name.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(index, _)| {
        let before = code[..index].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    })
}

#[test]
fn rules_are_pure() {
    let impure = [
        "std::fs",
        "std::net",
        "std::thread",
        "tokio",
        "async ",
        "dyn Clock",
        "SystemTime",
        "Instant",
    ];
    let mut wrong = Vec::new();
    for source in sources() {
        if !matches!(
            stage(&source.name),
            "track" | "scene" | "alarm" | "geometry"
        ) {
            continue;
        }
        for word in impure.iter().filter(|word| names(&source.code, word)) {
            wrong.push(format!(
                "{} names {word}, but it must stay pure",
                source.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_readable() {
    let mut wrong = Vec::new();
    for source in sources() {
        let text = fs::read_to_string(&source.path).expect("a source file");
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not open with what it is for", source.name));
        }
        if source.lines > MAX_LINES {
            wrong.push(format!(
                "{} has {} lines, at most {MAX_LINES}",
                source.name, source.lines
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn drawers_without_a_name_are_refused() {
    for source in sources() {
        for word in ["util", "utils", "common", "helpers", "manager", "misc"] {
            let found = source.name.split(['/', '.']).any(|part| part == word);
            assert!(!found, "{}: name a file after what it holds", source.name);
        }
    }
}
