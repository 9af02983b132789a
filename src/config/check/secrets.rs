//! Secrets: in a file or in the environment, never in the configuration itself.

use toml::Spanned;

use super::Check;
use crate::deliver::Secret;

impl Check<'_> {
    pub(super) fn secret(
        &mut self,
        owner: &Spanned<String>,
        what: &str,
        file: Option<&Spanned<String>>,
        env: Option<&Spanned<String>>,
    ) -> Option<String> {
        let (place, read) = match (file, env) {
            (Some(path), None) => {
                let full = self.folder.join(path.get_ref());
                let read = std::fs::read_to_string(&full)
                    .map_err(|error| format!("{}: {error}", full.display()));
                (path, read)
            }
            (None, Some(name)) => {
                let read = std::env::var(name.get_ref())
                    .map_err(|error| format!("environment variable {}: {error}", name.get_ref()));
                (name, read)
            }
            _ => {
                self.tell(
                    Some(owner),
                    format!("give exactly one of {what}_file and {what}_env"),
                );
                return None;
            }
        };
        match read {
            Ok(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Ok(_) => {
                self.tell(Some(place), format!("the {what} is empty"));
                None
            }
            Err(error) => {
                self.tell(Some(place), format!("the {what} cannot be read: {error}"));
                None
            }
        }
    }

    pub(super) fn secrets(&mut self, owner: &Spanned<String>, text: &str) -> Option<Vec<Secret>> {
        let parsed: Result<Vec<_>, _> = text.split_whitespace().map(str::parse::<Secret>).collect();
        match parsed {
            Ok(secrets) => Some(secrets),
            Err(error) => {
                self.tell(
                    Some(owner),
                    format!("the signing secret of this endpoint: {error}"),
                );
                None
            }
        }
    }
}
