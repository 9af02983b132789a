//! Exports: what of an alarm's evidence leaves the house, and in what shape.
//!
//! A ticket (`store::ticket`) says who wants what and why, and who allowed it; here its bundle is
//! made. The evidence itself is never changed by it. It must never: put anything into a bundle that
//! the ticket does not name, or a path of this machine.
//!
//! # The bundle, `plumb-export-1`
//! A ZIP archive; every entry is stored, not compressed (pictures and clips are already), so that
//! it can be made and checked as a stream. Names are ASCII, with `/` between folders; there are no
//! entries for folders, no links, no comment and no encryption, and no name comes twice. In order:
//!
//! ```text
//! alarms/<alarm id>/clip.mp4        \
//! alarms/<alarm id>/snapshot.jpg     | what the ticket covers; a file that could not be made is
//! alarms/<alarm id>/strobe.jpg       | left out, and stands in `missing` with the reason
//! alarms/<alarm id>/alarm.json      /  what, where, when, by whom handled; the object's track
//! footage/<camera>/<day>/<time>.mp4 in the place of alarms, where the ticket covers footage
//! manifest.json                     the ticket, and size and SHA-256 of every file above
//! signature.json                    signatures over the manifest
//! ```
//!
//! `manifest.json` is a [`Manifest`], with no field that is not described there. `signature.json`
//! is a [`SignatureFile`]: the SHA-256 of `manifest.json`'s bytes, and one or more signatures over
//! the text
//!
//! ```text
//! plumb-export-1\n<sha256 of manifest.json, 64 hexadecimal digits>\n
//! ```
//!
//! The algorithm `ed25519` is signed with the data directory's `audit.key`, the key of the audit
//! log's checkpoints: `public_key` and `signature` are base64 of the raw 32 and 64 bytes. `sm2` is signed
//! with `audit-sm2.key` where the config asks for it: an uncompressed point, and r and s. Whose key
//! it is must be known otherwise, by an earlier checkpoint or by the key file. A checker ignores
//! algorithms that it does not know, and wants at least one that it does and that holds.
//!
//! A bundle is whole when: the signature holds; the manifest's digest is the one that was signed;
//! each of the manifest's `files` is there with its size and digest; and there is no other entry
//! than those, the manifest and the signature. Unpacked into a folder it is checked the same way.
//!
//! `source_sha256` of a file is the digest that the evidence itself has, in the service's store and
//! in the evidence's own manifest: it ties what was changed for the export to what was recorded.

pub mod bundle;
pub mod check;
pub mod manifest;

use std::path::{Path, PathBuf};

pub use crate::evidence::Treatment;
pub use bundle::{BundleError, FootagePart, Making, View, hidden_of};
pub use manifest::{
    AlarmEntry, FileEntry, MANIFEST, Manifest, SIGNATURE, SignatureFile, SignatureRecord,
    TicketEntry,
};

use crate::store::TicketId;

/// Returns the folder in which bundles lie until they expire: beside the evidence.
pub fn folder(evidence_root: &Path) -> PathBuf {
    evidence_root.with_file_name("exports")
}

/// Returns where a ticket's bundle lies.
pub fn path_of(folder: &Path, ticket: TicketId) -> PathBuf {
    folder.join(format!("{ticket}.zip"))
}

/// Returns whose bundle a path of the folder is, or was to become; none of another file.
pub fn ticket_of(path: &Path) -> Option<TicketId> {
    let name = path.file_name()?.to_str()?.strip_prefix("E-")?;
    name.split('.').next()?.parse().ok().map(TicketId)
}
