//! The body of every failed answer: problem details by RFC 9457.

use serde::Serialize;

use super::error::ApiError;

/// What a failed request is answered with, as `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Problem {
    /// Names the kind of failure for programs: `urn:plumb:problem:` and a word that stays.
    #[serde(rename = "type")]
    #[schema(example = "urn:plumb:problem:bad-cursor")]
    pub kind: String,
    /// The kind of failure for people.
    pub title: String,
    /// The answer's status, again.
    pub status: u16,
    /// What went wrong this time, and what to do about it.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    /// Finds the request in the service's log; also in the header `x-request-id`.
    pub request_id: String,
    /// Of `not-ready` only: everything that is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Vec<String>>,
    /// Of `taken` only: who has the alarm in hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Of `taken` only: what pages call them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder_name: Option<String>,
    /// Of `bad-scene` only: the field that is wrong, e.g. `facade.floor_lines[1].left`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl ApiError {
    /// Returns the answer's body; `instance` is the request's path.
    pub(crate) fn problem(&self, instance: &str, request_id: &str) -> Problem {
        let (status, slug, title) = self.class();
        Problem {
            kind: format!("urn:plumb:problem:{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            instance: instance.to_owned(),
            request_id: request_id.to_owned(),
            reasons: match self {
                Self::NotReady { reasons } => Some(reasons.clone()),
                _ => None,
            },
            holder: match self {
                Self::Taken { by, .. } => Some(by.clone()),
                _ => None,
            },
            holder_name: match self {
                Self::Taken { name, .. } => Some(name.clone()),
                _ => None,
            },
            key: match self {
                Self::BadScene(error) => Some(error.key.clone()),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_ends_as_a_sentence_and_names_the_way_out() {
        let nearest = ApiError::UnknownParameter {
            name: "camra".to_owned(),
            nearest: Some("camera".to_owned()),
            known: vec!["camera".to_owned()],
        };
        assert!(nearest.to_string().contains("did you mean \"camera\"?"));
        for error in [ApiError::BadCursor, ApiError::NoRoute, ApiError::Internal] {
            let problem = error.problem("/x", "id");
            assert!(problem.detail.ends_with('.'), "{}", problem.detail);
            assert_eq!(problem.status, error.class().0.as_u16());
        }
    }
}
