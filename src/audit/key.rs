//! The key that signs checkpoints: Ed25519, or SM2 with SM3 (GB/T 32918.2) where national ciphers are
//! asked for. Each kind has its file; both may lie in the data directory, since checkpoints of before
//! a change still have to be checked.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::Deserialize;
use sm2::dsa::signature::{Signer, Verifier};
use sm2::elliptic_curve::Generate;
use sm2::pkcs8::{DecodePrivateKey, EncodePrivateKey};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// The signer's identity that goes into each SM2 signature where none was agreed on (GM/T 0009, 10).
const SM2_IDENTITY: &str = "1234567812345678";

/// How checkpoints are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    #[default]
    Ed25519,
    Sm2,
}

impl Signing {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::Sm2];

    /// Returns the name used in the configuration and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Sm2 => "sm2",
        }
    }

    /// Returns the way of signing of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// Returns the key's file in the data directory: PEM (PKCS #8), for its owner only.
    pub fn key_file(self) -> &'static str {
        match self {
            Self::Ed25519 => "audit.key",
            Self::Sm2 => "audit-sm2.key",
        }
    }

    /// Returns whether `signature` over `text` is by the key of which `public_key` is the public
    /// half; both are base64.
    pub fn is_signed_text(self, public_key: &str, signature: &str, text: &str) -> bool {
        let message = text.as_bytes();
        let (Ok(key), Ok(signature)) = (STANDARD.decode(public_key), STANDARD.decode(signature))
        else {
            return false;
        };
        match self {
            Self::Ed25519 => UnparsedPublicKey::new(&ED25519, key)
                .verify(message, &signature)
                .is_ok(),
            Self::Sm2 => {
                let key = sm2::dsa::VerifyingKey::from_sec1_bytes(SM2_IDENTITY, &key);
                let signature = sm2::dsa::Signature::try_from(signature.as_slice());
                matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(message, &signature).is_ok())
            }
        }
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the audit key {path} cannot be read or made: is the data directory writable?")]
    File { path: PathBuf, source: io::Error },
    #[error(
        "the audit key {path} is not a key for {}: restore it from a backup, or move it away to begin a new one",
        signing.as_str()
    )]
    Unreadable { path: PathBuf, signing: Signing },
}

/// The service's key; clones share it. It prints as nothing.
#[derive(Clone)]
pub struct Key(Arc<Pair>);

enum Pair {
    Ed25519(Ed25519KeyPair),
    Sm2(Box<sm2::dsa::SigningKey>),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Returns the key of the data directory; makes one where there is none.
    pub fn open_or_make(data_dir: &Path, signing: Signing) -> Result<Self, KeyError> {
        let path = data_dir.join(signing.key_file());
        if !path.exists() {
            make(&path, signing).map_err(|source| KeyError::File {
                path: path.clone(),
                source,
            })?;
        }
        Self::open(data_dir, signing)
    }

    /// Returns the key of the data directory. Fails where there is none.
    pub fn open(data_dir: &Path, signing: Signing) -> Result<Self, KeyError> {
        let path = data_dir.join(signing.key_file());
        let failed = |source| KeyError::File {
            path: path.clone(),
            source,
        };
        let text = fs::read_to_string(&path).map_err(failed)?;
        let mode = fs::metadata(&path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "the audit key can be read by others: chmod 600");
        }
        let body: String = text
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let bytes = STANDARD.decode(body).ok();
        let pair = bytes.and_then(|bytes| Pair::parse(&bytes, signing));
        let pair = pair.ok_or_else(|| KeyError::Unreadable {
            path: path.clone(),
            signing,
        })?;
        Ok(Self(Arc::new(pair)))
    }

    /// Returns how this key signs.
    pub fn signing(&self) -> Signing {
        match *self.0 {
            Pair::Ed25519(_) => Signing::Ed25519,
            Pair::Sm2(_) => Signing::Sm2,
        }
    }

    /// Returns the public half, in base64: 32 bytes for Ed25519, an uncompressed point for SM2.
    pub fn public(&self) -> String {
        match &*self.0 {
            Pair::Ed25519(pair) => STANDARD.encode(pair.public_key()),
            Pair::Sm2(key) => STANDARD.encode(key.verifying_key().to_sec1_bytes()),
        }
    }

    /// Returns the signature over `text`, in base64; for SM2 it is r and s, 32 bytes each. The text
    /// begins with the name of what it is, so that a signature never stands for something else.
    pub fn sign_text(&self, text: &str) -> String {
        let message = text.as_bytes();
        match &*self.0 {
            Pair::Ed25519(pair) => STANDARD.encode(pair.sign(message).as_ref()),
            Pair::Sm2(key) => {
                let signature: sm2::dsa::Signature = key.sign(message);
                STANDARD.encode(signature.to_bytes())
            }
        }
    }
}

impl Pair {
    fn parse(bytes: &[u8], signing: Signing) -> Option<Self> {
        match signing {
            Signing::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes);
                pair.ok().map(Self::Ed25519)
            }
            Signing::Sm2 => {
                let secret = sm2::SecretKey::from_pkcs8_der(bytes).ok()?;
                let key = sm2::dsa::SigningKey::new(SM2_IDENTITY, &secret).ok()?;
                Some(Self::Sm2(Box::new(key)))
            }
        }
    }
}

fn make(path: &Path, signing: Signing) -> io::Result<()> {
    let body = match signing {
        Signing::Ed25519 => {
            let broken = |_| io::Error::other("the system gives no random numbers");
            let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(broken)?;
            STANDARD.encode(pair.as_ref())
        }
        Signing::Sm2 => {
            let broken = |_| io::Error::other("the system gives no random numbers");
            let secret = sm2::SecretKey::try_generate().map_err(broken)?;
            let der = secret.to_pkcs8_der().map_err(io::Error::other)?;
            STANDARD.encode(der.as_bytes())
        }
    };
    // PEM has lines of 64 characters (RFC 7468, 2): openssl reads the file too.
    let lines: Vec<&str> = (0..body.len())
        .step_by(64)
        .map(|at| &body[at..body.len().min(at + 64)])
        .collect();
    let text = format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
