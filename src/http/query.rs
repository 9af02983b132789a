//! Query parameters: each route names all of its own, and any other is refused.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::error::ApiError;

/// A query may hold this many parameters; a longer one is refused before it is looked at.
const MAX_PARAMETERS: usize = 32;

/// The checked parameters of one route.
pub(crate) trait Parameters: Sized {
    /// The same as OpenAPI names them; what it does not name is refused.
    type Named: IntoParams;

    /// Returns the checked parameters. Names are known and given once.
    fn read(given: &Given) -> Result<Self, ApiError>;
}

/// Takes a route's parameters out of the query.
pub(crate) struct Query<T>(pub(crate) T);

/// For routes without parameters.
pub(crate) type NoQuery = Query<NoParameters>;

impl<T: Parameters, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or("");
        let known = T::Named::into_params(|| None)
            .into_iter()
            .map(|p| p.name)
            .collect();
        T::read(&Given::parse(query, known)?).map(Self)
    }
}

pub(crate) struct NoParameters;

impl IntoParams for NoParameters {
    fn into_params(
        _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        Vec::new()
    }
}

impl Parameters for NoParameters {
    type Named = Self;

    fn read(_given: &Given) -> Result<Self, ApiError> {
        Ok(Self)
    }
}

/// Parameters as they were given: known names, each once.
pub(crate) struct Given(Vec<(String, String)>);

impl Given {
    fn parse(query: &str, known: Vec<String>) -> Result<Self, ApiError> {
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if !known.iter().any(|known| *known == name) {
                let nearest = nearest(&name, &known);
                let name = shortened(&name);
                return Err(ApiError::UnknownParameter {
                    name,
                    nearest,
                    known,
                });
            }
            if given.iter().any(|(other, _)| *other == name) || given.len() == MAX_PARAMETERS {
                return Err(ApiError::RepeatedParameter {
                    name: name.into_owned(),
                });
            }
            given.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(given))
    }

    /// Returns the parameters of a form: a field that was left empty is none.
    pub(crate) fn without_empty(&self) -> Self {
        let filled = self.0.iter().filter(|(_, value)| !value.is_empty());
        Self(filled.cloned().collect())
    }

    /// Returns a parameter's text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns a parameter's value; `allowed` ends the sentence "give …".
    pub(crate) fn value<T: FromStr>(
        &self,
        name: &'static str,
        allowed: &'static str,
    ) -> Result<Option<T>, ApiError> {
        self.checked(name, allowed, |text| text.parse().ok())
    }

    /// Returns a parameter's value from the word that JSON uses for it, e.g. an enum's.
    pub(crate) fn word<T: DeserializeOwned>(
        &self,
        name: &'static str,
        allowed: &'static str,
    ) -> Result<Option<T>, ApiError> {
        self.checked(name, allowed, |text| {
            serde_json::from_value(text.into()).ok()
        })
    }

    /// Returns what `read` makes of a parameter's text; none from it is refused.
    pub(crate) fn checked<T>(
        &self,
        name: &'static str,
        allowed: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match read(text) {
            Some(value) => Ok(Some(value)),
            None => Err(ApiError::BadParameter {
                name,
                value: shortened(text),
                allowed,
            }),
        }
    }
}

/// Returns the known name that the client may have meant.
fn nearest(name: &str, known: &[String]) -> Option<String> {
    const ALIKE: f64 = 0.75;
    let likeness = |known: &str| strsim::jaro_winkler(name, known);
    let best = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then(|| best.clone())
}

/// Returns at most 200 characters: an answer is no place for a client's megabyte.
pub(crate) fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["camera", "kind", "min_score"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_misspelt_name_is_refused_with_the_nearest() {
        let cases = [
            ("camra=x", Some("camera")),
            ("camera_id=x", Some("camera")),
            ("score=1", None),
            ("minscore=1", Some("min_score")),
            ("zzz", None),
        ];
        for (query, expected) in cases {
            let Err(ApiError::UnknownParameter { nearest, .. }) = Given::parse(query, known())
            else {
                panic!("{query} was taken");
            };
            assert_eq!(nearest.as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn a_parameter_counts_once() {
        let twice = Given::parse("kind=a&kind=b", known());
        assert!(matches!(twice, Err(ApiError::RepeatedParameter { name }) if name == "kind"));
        let once = Given::parse("kind=a%20b", known()).map(|given| given.0);
        assert_eq!(once.ok(), Some(vec![("kind".to_owned(), "a b".to_owned())]));
    }

    #[test]
    fn a_long_value_is_shortened_at_a_character() {
        assert_eq!(
            shortened(&"梯".repeat(201)),
            format!("{}…", "梯".repeat(200))
        );
        assert_eq!(shortened("short"), "short");
    }
}
