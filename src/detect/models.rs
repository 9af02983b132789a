//! The models that Plumb ships: reads models.toml, and opens a model only when its file is the
//! one described there. Must never open a file whose hash differs.
//!
//! The format of models.toml is explained at its head. What a model's numbers mean stands in its
//! `settings`, which the stage that owns the model reads ([`Models::settings`]).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use toml::Spanned;

use super::session::{PortSpec, Runtime, Session, SessionError, SessionSpec, find};

const TABLE: &str = "models/models.toml";
/// Names the models' folder where it stands elsewhere.
const FOLDER_VARIABLE: &str = "PLUMB_MODELS";
/// The largest file that is read as a model, 256 MiB: fifty times the largest shipped.
const MODEL_SIZE_MAX_BYTES: u64 = 256 << 20;

/// The models of one folder. Cloning is free; each model is opened once and shared.
#[derive(Clone, Debug)]
pub struct Models(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtime: Runtime,
    folder: PathBuf,
    table: PathBuf,
    text: String,
    entries: BTreeMap<String, Entry>,
    opened: Mutex<BTreeMap<String, Session>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    file: String,
    sha256: String,
    input: Port,
    output: Port,
    settings: Spanned<toml::Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Port {
    name: String,
    shape: Vec<i64>,
}

impl Models {
    /// Reads `models.toml` in `folder`; without one in the folder `PLUMB_MODELS` names, else in
    /// `models/` in the program's folder, in one of the four above it, or in the working directory.
    /// Fails when there is none, or when it says something that is not known, with its line.
    pub fn open(runtime: &Runtime, folder: Option<&Path>) -> Result<Self, SessionError> {
        let named = folder
            .map(Path::to_path_buf)
            .or_else(|| std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from))
            .map(|folder| folder.join("models.toml"));
        let table = find(named, TABLE).map_err(|tried| SessionError::ModelsMissing { tried })?;
        let text = std::fs::read_to_string(&table).map_err(|source| SessionError::Read {
            path: table.clone(),
            source,
        })?;
        let entries = toml::from_str(&text).map_err(|error| SessionError::Table {
            path: table.clone(),
            line: error.span().map_or(1, |span| line_of(&text, span.start)),
            message: error.message().to_owned(),
        })?;
        Ok(Self(Arc::new(Inner {
            runtime: runtime.clone(),
            folder: table.parent().map(Path::to_path_buf).unwrap_or_default(),
            table,
            text,
            entries,
            opened: Mutex::default(),
        })))
    }

    /// Returns the names and SHA-256 digests of all models, by name.
    pub fn digests(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.0.entries.iter();
        entries.map(|(name, entry)| (name.as_str(), entry.sha256.as_str()))
    }

    /// Returns the model `name`, opened; the same one each time, sharing its weights.
    /// Fails when it is not in the table, its file is missing or another one than described, or
    /// its input or output is not as described.
    pub fn session(&self, name: &str) -> Result<Session, SessionError> {
        // A panic while holding it leaves whole sessions: they stay usable.
        let mut opened = self.0.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = opened.get(name) {
            return Ok(session.clone());
        }
        let session = self.open_session(name)?;
        opened.insert(name.to_owned(), session.clone());
        Ok(session)
    }

    /// Returns what the table's `settings` say of the model `name`. `T` should deny unknown fields.
    /// Fails when the model is not in the table or its settings are not a `T`.
    pub fn settings<T: DeserializeOwned>(&self, name: &str) -> Result<T, SessionError> {
        let settings = &self.entry(name)?.settings;
        let parsed = settings.get_ref().clone().try_into::<T>();
        parsed.map_err(|error: toml::de::Error| {
            self.unsuitable(name, error.message().trim_end().replace('\n', "; "))
        })
    }

    /// Returns the shape that the table gives the model's input and output, -1 for any length.
    pub fn shapes(&self, name: &str) -> Result<(&[i64], &[i64]), SessionError> {
        let entry = self.entry(name)?;
        Ok((&entry.input.shape, &entry.output.shape))
    }

    /// Returns the error that says what is wrong with the settings of the model `name`.
    pub fn unsuitable(&self, name: &str, message: impl std::fmt::Display) -> SessionError {
        let entry = self.0.entries.get(name);
        let start = entry.map_or(0, |entry| entry.settings.span().start);
        SessionError::Table {
            path: self.0.table.clone(),
            line: line_of(&self.0.text, start),
            message: format!("[{name}.settings] {message}"),
        }
    }

    fn entry(&self, name: &str) -> Result<&Entry, SessionError> {
        let entry = self.0.entries.get(name);
        entry.ok_or_else(|| {
            let known: Vec<_> = self
                .0
                .entries
                .keys()
                .map(|key| format!("{key:?}"))
                .collect();
            SessionError::UnknownModel {
                path: self.0.table.clone(),
                name: name.to_owned(),
                known: known.join(", "),
            }
        })
    }

    fn open_session(&self, name: &str) -> Result<Session, SessionError> {
        let entry = self.entry(name)?;
        let path = self.0.folder.join(&entry.file);
        let bytes = read_model(&path).map_err(|source| SessionError::Read {
            path: path.clone(),
            source,
        })?;
        let found = hex(&Sha256::digest(&bytes));
        if !found.eq_ignore_ascii_case(&entry.sha256) {
            return Err(SessionError::Hash {
                path,
                expected: entry.sha256.clone(),
                found,
            });
        }
        let spec = SessionSpec {
            model: name,
            path: &path,
            sha256: &found,
            input: entry.input.spec(),
            output: entry.output.spec(),
        };
        self.0.runtime.session(bytes, spec)
    }
}

impl Port {
    fn spec(&self) -> PortSpec<'_> {
        PortSpec {
            name: &self.name,
            shape: &self.shape,
        }
    }
}

fn read_model(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = std::fs::File::open(path)?.take(MODEL_SIZE_MAX_BYTES);
    // A longer file is cut here, and then refused for its hash.
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn hex(digest: &[u8]) -> String {
    let mut text = String::with_capacity(digest.len() * 2);
    for byte in digest {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

/// Returns the line, counted from 1, that holds byte `offset` of `text`.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!(line_of("a\nb\nc", 0), 1);
        assert_eq!(line_of("a\nb\nc", 4), 3);
        assert_eq!(line_of("", 7), 1);
    }
}
