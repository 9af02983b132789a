//! Typed ids, so that a camera's name can never be taken for a site's.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A name as ids allow it: 1 to 64 of `a-z A-Z 0-9 . _ -`, not starting with a dot.
/// It goes into paths, headers and metrics, so nothing else is let in.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("id {0:?} is not 1 to 64 letters, digits, '.', '_' or '-' (and must not begin with '.')")]
pub struct BadId(pub String);

fn check(text: &str) -> Result<Arc<str>, BadId> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits =
        (1..=64).contains(&text.len()) && !text.starts_with('.') && text.chars().all(allowed);
    if fits {
        Ok(text.into())
    } else {
        Err(BadId(text.to_owned()))
    }
}

macro_rules! named_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the id from its text. Fails when it is not an id (see [`BadId`]).
            pub fn parse(text: &str) -> Result<Self, BadId> {
                check(text).map(Self)
            }

            /// Returns the id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;

            fn try_from(text: String) -> Result<Self, BadId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }
    };
}

named_id!(
    /// A camera, as the config names it.
    CameraId
);
named_id!(
    /// A site (a residential compound), as the config names it.
    SiteId
);
named_id!(
    /// A webhook endpoint, as the config names it.
    EndpointId
);
named_id!(
    /// A step of escalation, as the config names it.
    EscalationId
);
named_id!(
    /// A person's account, by the name that is typed in to sign in.
    AccountId
);
named_id!(
    /// A program's token, by the name that people gave it.
    TokenId
);

/// An alarm, everywhere and for ever: a UUID of version 7, so that ids sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlarmId(uuid::Uuid);

impl AlarmId {
    /// Returns a new id for an alarm raised at `at`.
    pub fn new(at: jiff::Timestamp) -> Self {
        let seconds = u64::try_from(at.as_second()).unwrap_or(0);
        let nanos = u32::try_from(at.subsec_nanosecond()).unwrap_or(0);
        Self(uuid::Uuid::new_v7(uuid::Timestamp::from_unix(
            uuid::NoContext,
            seconds,
            nanos,
        )))
    }
}

impl fmt::Display for AlarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AlarmId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_could_leave_a_folder() {
        assert!(CameraId::parse("facade-3.east").is_ok());
        for bad in ["", "../etc", ".hidden", "a/b", "a b", &"x".repeat(65)] {
            assert_eq!(CameraId::parse(bad), Err(BadId(bad.to_owned())));
        }
    }

    #[test]
    fn alarm_ids_sort_by_time() {
        let early = AlarmId::new(jiff::Timestamp::from_second(1_000).expect("in range"));
        let late = AlarmId::new(jiff::Timestamp::from_second(2_000).expect("in range"));
        assert!(early < late);
        assert_eq!(
            early.to_string().parse::<AlarmId>().expect("its own text"),
            early
        );
    }
}
