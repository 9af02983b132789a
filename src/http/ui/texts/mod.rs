//! All that pages say, one file a language. A text that is missing in a language does not compile.

mod en;
mod zh;

pub(crate) use en::EN;
pub(crate) use zh::ZH;

macro_rules! texts {
    ($($name:ident),+ $(,)?) => {
        /// The texts of one language.
        #[derive(Debug)]
        pub(crate) struct Texts {
            $(pub(crate) $name: &'static str),+
        }

        #[cfg(test)]
        impl Texts {
            fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($name), self.$name)),+]
            }
        }
    };
}

texts!(
    // Everywhere.
    skip,
    navigation,
    sign_out,
    home,
    change_password,
    role_operator,
    role_manager,
    role_auditor,
    role_maintainer,
    role_admin,
    // Signing in.
    sign_in,
    sign_in_lead,
    account,
    password,
    sign_in_wrong,
    sign_in_too_many,
    minutes,
    // The own password.
    password_one_time,
    password_old,
    password_new,
    password_again,
    password_rule,
    password_not_twice,
    password_length,
    password_holds_name,
    password_same,
    password_monotone,
    password_old_wrong,
    // The first page.
    home_signed_in,
    home_roles,
    // What went wrong.
    problem,
    problem_forbidden,
    problem_not_found,
    problem_server,
    problem_request,
    problem_request_id,
);

impl Texts {
    /// Returns what pages call a role.
    pub(crate) fn role(&self, role: &crate::auth::Role) -> &'static str {
        use crate::auth::Role;
        match role {
            Role::Operator => self.role_operator,
            Role::Manager => self.role_manager,
            Role::Auditor => self.role_auditor,
            Role::Maintainer => self.role_maintainer,
            Role::Admin => self.role_admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_empty_or_left_in_the_other_language() {
        for ((name, zh), (_, en)) in ZH.all().into_iter().zip(EN.all()) {
            assert!(!zh.trim().is_empty() && !en.trim().is_empty(), "{name}");
            assert!(zh.chars().any(|c| c as u32 > 0x2E80), "{name}: {zh}");
            assert!(en.chars().all(|c| (c as u32) < 0x2E80), "{name}: {en}");
        }
    }
}
