//! What a check by the running service says.

mod en;
mod zh;

pub(crate) use en::EN;
pub(crate) use zh::ZH;

use super::fill;
use crate::http::checks::{Well, Why};
use crate::http::status::{NotReady, Unwritable};

texts!(
    check,
    check_hint,
    check_done,
    check_note,
    config_line,
    data_dir,
    decoding,
    // What is well.
    loaded,
    decodes,
    writable,
    in_use,
    picture,
    answered,
    // What is not.
    models_bad,
    decoding_bad,
    data_dir_bad,
    unreachable,
    no_picture,
    refused,
    late,
    // What the service observes of itself.
    ready,
    stopping,
    in_memory,
    silent,
    full,
    read_only,
    damaged,
    held,
    unwritable,
    dead,
    no_key,
    tls_own,
    tls_elsewhere,
    frames,
    connecting,
    offline,
    waiting,
    switched_off,
);

impl Texts {
    /// Returns what is well, in the reader's words.
    pub(crate) fn well(&self, well: &Well) -> String {
        match well {
            Well::Loaded {
                names,
                provider,
                threads,
            } => fill(
                self.loaded,
                &[&names.join(", "), provider, &threads.to_string()],
            ),
            Well::Decodes { hardware } => fill(self.decodes, &[hardware]),
            Well::Writable | Well::FolderWritable => self.writable.to_owned(),
            Well::InUse => self.in_use.to_owned(),
            Well::Picture {
                codec,
                width_px,
                height_px,
            } => fill(self.picture, &[codec, width_px, height_px]),
            Well::Answered(_) => self.answered.to_owned(),
            Well::Noted(_) => self.check_note.to_owned(),
        }
    }

    /// Returns why the service cannot do its work, in the reader's words.
    pub(crate) fn not_ready(&self, why: &NotReady) -> String {
        match why {
            NotReady::Stopping => self.stopping,
            NotReady::Dead(name) => return fill(self.dead, &[name]),
            NotReady::Unwritable(why) => match why {
                Unwritable::InMemory => self.in_memory,
                Unwritable::Silent => self.silent,
                Unwritable::Full => self.full,
                Unwritable::ReadOnly => self.read_only,
                Unwritable::Damaged => self.damaged,
                Unwritable::Held => self.held,
                Unwritable::Other => self.unwritable,
            },
        }
        .to_owned()
    }

    /// Returns what is not well, in the reader's words.
    pub(crate) fn bad(&self, why: Why) -> &'static str {
        match why {
            Why::Models => self.models_bad,
            Why::Decoding => self.decoding_bad,
            Why::DataDir | Why::Footage => self.data_dir_bad,
            Why::Unreachable => self.unreachable,
            Why::NoPicture => self.no_picture,
            Why::Refused => self.refused,
            Why::Late => self.late,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_empty_or_left_in_the_other_language() {
        super::super::check_languages(&ZH.all(), &EN.all());
    }
}
