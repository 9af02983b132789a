//! Who may do what: roles, which of them one person may have together, passwords, secrets, and
//! what slows a guesser down.
//!
//! It must never keep or print a password or a token: of the first it knows an Argon2id hash, of
//! the second a digest. The secret of a second factor is known, and printed nowhere. It holds no state but the counters of `throttle`; accounts, sessions and
//! tokens are rows of `store`, and requests are judged in `http`.

pub mod password;
pub mod secret;
pub mod throttle;
pub mod totp;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What somebody may do. A route names the roles that may use it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Handles alarms.
    Operator,
    /// Reviews alarms, closes cases, reports.
    Manager,
    /// Reads all, changes nothing.
    Auditor,
    /// Cameras, health and deliveries; no evidence.
    Maintainer,
    /// Accounts and tokens; no evidence.
    Admin,
}

impl Role {
    /// All roles, in the order in which pages list them.
    pub const ALL: [Self; 5] = [
        Self::Operator,
        Self::Manager,
        Self::Auditor,
        Self::Maintainer,
        Self::Admin,
    ];

    /// Returns the name used in JSON, SQL and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Manager => "manager",
            Self::Auditor => "auditor",
            Self::Maintainer => "maintainer",
            Self::Admin => "admin",
        }
    }

    /// Returns whether one person may have both. Managing, operating and maintaining are for
    /// different people (indicator 21), and who audits may do nothing that is audited; only a
    /// manager may look after accounts too.
    pub fn goes_with(self, other: Self) -> bool {
        self == other
            || matches!(
                (self, other),
                (Self::Manager, Self::Admin) | (Self::Admin, Self::Manager)
            )
    }
}

/// Who may be given the right to see people in what cameras saw, and has it where the configuration
/// says nothing else (`privacy.see_people`): those who handle alarms, and those who check how that is
/// done (indicator 21 gives maintaining staff no evidence, and admins need none). To everybody else an
/// elevator is shown in coarse blocks only.
pub const SEE_PEOPLE: [Role; 3] = [Role::Operator, Role::Manager, Role::Auditor];

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no role.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no role {0:?}: operator, manager, auditor, maintainer or admin")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// Roles that one person or program has: one at least, and none that conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "Vec<Role>", into = "Vec<Role>")]
#[schema(value_type = Vec<Role>)]
pub struct Roles(Vec<Role>);

/// Why these roles cannot be given together.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadRoles {
    #[error("give at least one role")]
    None,
    #[error("one person cannot be {0} and {1}: give the second role to somebody else")]
    Conflict(Role, Role),
}

impl Roles {
    /// Returns the roles, sorted and each once. Fails when there is none or two conflict.
    pub fn new(given: impl IntoIterator<Item = Role>) -> Result<Self, BadRoles> {
        let mut roles: Vec<Role> = given.into_iter().collect();
        roles.sort_unstable();
        roles.dedup();
        if roles.is_empty() {
            return Err(BadRoles::None);
        }
        for (index, one) in roles.iter().enumerate() {
            if let Some(other) = roles[index + 1..]
                .iter()
                .find(|other| !one.goes_with(**other))
            {
                return Err(BadRoles::Conflict(*one, *other));
            }
        }
        Ok(Self(roles))
    }

    /// Returns the one role as a set.
    pub fn only(role: Role) -> Self {
        Self(vec![role])
    }

    /// Returns the roles, sorted.
    pub fn as_slice(&self) -> &[Role] {
        &self.0
    }

    /// Returns whether one of `wanted` is among them.
    pub fn any_of(&self, wanted: &[Role]) -> bool {
        self.0.iter().any(|role| wanted.contains(role))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|role| role.as_str()).collect();
        f.write_str(&names.join(", "))
    }
}

impl TryFrom<Vec<Role>> for Roles {
    type Error = BadRoles;

    fn try_from(given: Vec<Role>) -> Result<Self, BadRoles> {
        Self::new(given)
    }
}

impl From<Roles> for Vec<Role> {
    fn from(roles: Roles) -> Self {
        roles.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_manager_may_also_look_after_accounts() {
        for one in Role::ALL {
            assert!(Roles::new([one, one]).is_ok());
            for other in Role::ALL {
                let together = Roles::new([one, other]).is_ok();
                let allowed = one == other
                    || [one, other].contains(&Role::Manager) && [one, other].contains(&Role::Admin);
                assert_eq!(together, allowed, "{one} and {other}");
            }
        }
        assert_eq!(Roles::new([]), Err(BadRoles::None));
    }

    #[test]
    fn a_role_reads_as_it_is_written() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).expect("a word"), role.as_str());
        }
        assert!("root".parse::<Role>().is_err());
    }
}
