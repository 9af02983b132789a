//! Passwords: which are taken, how they are kept (Argon2id), how they are checked.
//!
//! Hashing takes 19 MiB and some 30 ms on purpose: never on a thread that serves others, and never
//! without a bound on how many run at once.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use rand::RngExt;

/// Characters of a password, least and most [P]. The most keeps a megabyte away from the hash.
pub const CHARS_MIN: usize = 10;
pub const CHARS_MAX: usize = 128;

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadPassword {
    #[error("a password has {CHARS_MIN} to {CHARS_MAX} characters")]
    Length,
    #[error("a password must not hold the account's name")]
    HoldsName,
    #[error("the new password must differ from the old one")]
    Same,
    #[error("a password must not be one character or a short row over and over")]
    Monotone,
}

/// Fails when the account `name` may not have this password.
pub fn check(name: &str, password: &str) -> Result<(), BadPassword> {
    // Fewer different characters than this is a pattern, not a password.
    const DIFFERENT_MIN: usize = 5;
    if !(CHARS_MIN..=CHARS_MAX).contains(&password.chars().count()) {
        return Err(BadPassword::Length);
    }
    if password.to_lowercase().contains(&name.to_lowercase()) {
        return Err(BadPassword::HoldsName);
    }
    let mut characters: Vec<char> = password.chars().collect();
    characters.sort_unstable();
    characters.dedup();
    if characters.len() < DIFFERENT_MIN {
        return Err(BadPassword::Monotone);
    }
    Ok(())
}

/// Returns a password that nobody chose, to be told once and changed: 20 letters and digits that
/// cannot be taken for each other, 99 bits.
pub fn one_time() -> String {
    groups::<4, 5>()
}

/// Returns random letters and digits that cannot be taken for each other, in groups: 4.95 bits each.
pub(super) fn groups<const GROUPS: usize, const LETTERS: usize>() -> String {
    const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let mut random = rand::rng();
    let mut letter = || char::from(ALPHABET[random.random_range(0..ALPHABET.len())]);
    let groups = (0..GROUPS).map(|_| (0..LETTERS).map(|_| letter()).collect());
    groups.collect::<Vec<String>>().join("-")
}

/// Returns the Argon2id hash with its salt and parameters (RFC 9106's second choice: 19 MiB, two
/// passes, as OWASP recommends). Blocks.
pub fn hash(password: &str) -> String {
    let hashed: Result<PasswordHash, _> = Argon2::default().hash_password(password.as_bytes());
    hashed
        .expect("the default parameters fit, and the system gives a salt")
        .to_string()
}

/// Returns whether `password` is the one of `hash`. Blocks; an unreadable hash is of no password.
pub fn matches(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else {
        return false;
    };
    password.chars().count() <= CHARS_MAX
        && Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
}

/// Costs what [`matches`] costs and says no: for names that nobody has, so that the time of an
/// answer does not tell which names there are. Blocks.
pub fn matches_nothing(password: &str) -> bool {
    static NOBODY: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| hash(&one_time()));
    let _ = matches(password, &NOBODY);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_argon2id_and_matches_its_password_alone() {
        let hashed = hash("correct horse battery");
        assert!(
            hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hashed}"
        );
        assert!(matches("correct horse battery", &hashed));
        assert!(!matches("correct horse batterz", &hashed));
        assert!(!matches("correct horse battery", "no hash"));
        assert!(!matches_nothing("correct horse battery"));
        assert_ne!(
            hashed,
            hash("correct horse battery"),
            "each has a salt of its own"
        );
    }

    #[test]
    fn weak_passwords_are_refused() {
        for (password, why) in [
            ("short", BadPassword::Length),
            ("Li-na-2026!", BadPassword::HoldsName),
            ("abababababab", BadPassword::Monotone),
        ] {
            assert_eq!(check("li-na", password), Err(why), "{password}");
        }
        assert_eq!(check("li-na", &"梯".repeat(129)), Err(BadPassword::Length));
        assert_eq!(check("li-na", "一二三四五六七八九十"), Ok(()));
        let told = one_time();
        assert_eq!(check("admin", &told), Ok(()), "{told}");
        assert_ne!(told, one_time());
    }
}
