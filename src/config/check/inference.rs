//! Judges `[inference]`. Whether the machine has what it asks for is seen when the models are opened.

use std::num::NonZeroUsize;

use super::Check;
use crate::config::file;
use crate::detect::Inference;

/// The most inferences at a time: more than any machine here has cores.
const THREADS_MAX: usize = 256;

impl Check<'_> {
    pub(super) fn inference(&mut self, inference: &file::Inference) -> Option<Inference> {
        let provider = inference.provider;
        let Some(written) = &inference.threads else {
            return Some(Inference {
                provider,
                ..Inference::default()
            });
        };
        let threads =
            NonZeroUsize::new(*written.get_ref()).filter(|threads| threads.get() <= THREADS_MAX);
        if threads.is_none() {
            let message = format!(
                "inference.threads = {} is not within 1 to {THREADS_MAX}",
                written.get_ref()
            );
            self.tell(Some(written), message);
        }
        Some(Inference {
            provider,
            threads: threads?,
        })
    }
}
