//! Secrets that a client shows with each request: sessions and tokens. Random, long, and kept as
//! a digest only, so that who reads the store cannot use them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Marks a token, so that a scanner of published texts can find one that has leaked.
const TOKEN_PREFIX: &str = "plumb_";

const SIZE_BYTES: usize = 32;

/// A secret as the client shows it. It prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(String);

impl ClientSecret {
    /// Returns a new session's secret: 256 random bits.
    pub fn new_session() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; SIZE_BYTES]>()))
    }

    /// Returns a new token's secret.
    pub fn new_token() -> Self {
        Self(format!("{TOKEN_PREFIX}{}", Self::new_session().0))
    }

    /// Returns what a client showed, if it can be a secret at all.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(TOKEN_PREFIX).unwrap_or(text);
        let bytes = URL_SAFE_NO_PAD.decode(body).ok()?;
        (bytes.len() == SIZE_BYTES).then(|| Self(text.to_owned()))
    }

    /// Returns the text, to be given to its client once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns what is kept of it. SHA-256 is enough: nobody can guess 256 random bits.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }

    /// Returns the text that a page of this session shows with each change: it follows from the
    /// secret, which no page can read.
    pub fn csrf(&self) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(b"plumb csrf 1");
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Returns whether `shown` is [`ClientSecret::csrf`], in a time that does not tell how much of
    /// it is.
    pub fn has_csrf(&self, shown: &str) -> bool {
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        // Equal digests mean equal texts, and how two digests differ tells nothing of the texts.
        digest(&self.csrf()) == digest(shown)
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret")
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_print_as_nothing() {
        let (one, other) = (ClientSecret::new_session(), ClientSecret::new_session());
        assert_ne!(one.digest(), other.digest());
        assert_eq!(format!("{one:?}"), "ClientSecret");
        assert_eq!(ClientSecret::parse(one.reveal()), Some(one));
        let token = ClientSecret::new_token();
        assert_eq!(ClientSecret::parse(token.reveal()), Some(token));
        for bad in [
            "",
            "plumb_",
            "plumb_short",
            "../../etc/passwd",
            &"A".repeat(10_000),
        ] {
            assert_eq!(ClientSecret::parse(bad), None);
        }
    }

    #[test]
    fn a_page_of_another_session_cannot_change_anything() {
        let (one, other) = (ClientSecret::new_session(), ClientSecret::new_session());
        assert!(one.has_csrf(&one.csrf()));
        assert!(!one.has_csrf(&other.csrf()));
        assert!(!one.has_csrf(""));
    }
}
