//! The language of the pages: what the reader chose, else what the browser asks for, else Chinese.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::texts::{EN, Texts, ZH, account, checks, footage, reasons, records, sight};
use crate::http::access::cookie;
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::{Service, Transport};

const COOKIE: &str = "plumb_language";

/// A language that the pages speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    #[default]
    Zh,
    En,
}

impl Language {
    /// Returns the texts of one's own account.
    pub(crate) fn account(self) -> &'static account::Texts {
        match self {
            Self::Zh => &account::ZH,
            Self::En => &account::EN,
        }
    }

    /// Returns the texts of a check of everything.
    pub(crate) fn checks(self) -> &'static checks::Texts {
        match self {
            Self::Zh => &checks::ZH,
            Self::En => &checks::EN,
        }
    }

    /// Returns the texts about footage.
    pub(crate) fn footage(self) -> &'static footage::Texts {
        match self {
            Self::Zh => &footage::ZH,
            Self::En => &footage::EN,
        }
    }

    /// Returns why a scene cannot be.
    pub(crate) fn reasons(self) -> &'static reasons::Texts {
        match self {
            Self::Zh => &reasons::ZH,
            Self::En => &reasons::EN,
        }
    }

    /// Returns the texts about what is hidden.
    pub(crate) fn sight(self) -> &'static sight::Texts {
        match self {
            Self::Zh => &sight::ZH,
            Self::En => &sight::EN,
        }
    }

    /// Returns the texts of the pages of records.
    pub(crate) fn records(self) -> &'static records::Texts {
        match self {
            Self::Zh => &records::ZH,
            Self::En => &records::EN,
        }
    }

    /// Returns the texts of the pages.
    pub(crate) fn texts(self) -> &'static Texts {
        match self {
            Self::Zh => &ZH,
            Self::En => &EN,
        }
    }

    /// Returns the language's tag (BCP 47), for `lang`.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Zh => "zh-CN",
            Self::En => "en",
        }
    }

    /// Returns the word that names the language in forms and in the cookie.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }

    /// Returns the other language, to switch to.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Zh => Self::En,
            Self::En => Self::Zh,
        }
    }

    /// Returns the language of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match cookie(headers, COOKIE) {
            Some("zh") => return Self::Zh,
            Some("en") => return Self::En,
            _ => {}
        }
        let wanted = headers.get(header::ACCEPT_LANGUAGE);
        let wanted = wanted.and_then(|value| value.to_str().ok()).unwrap_or("");
        // Browsers name the most wanted first.
        let first = wanted.split([',', ';']).next().unwrap_or("").trim();
        match first.get(..2) {
            Some(start) if start.eq_ignore_ascii_case("en") => Self::En,
            _ => Self::Zh,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Language {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// The language that was chosen, and the page on which it was.
#[derive(Debug, Deserialize)]
pub(crate) struct Choice {
    language: Language,
    back: String,
}

/// Keeps the choice in a cookie and goes back to the page.
pub(crate) async fn choose(
    State(service): State<Arc<Service>>,
    _: NoQuery,
    Form(choice): Form<Choice>,
) -> Result<Response, ApiError> {
    const YEAR_S: u32 = 365 * 24 * 3600;
    let secure = match service.api.sign_in.transport {
        Transport::Plain => "",
        Transport::Tls => "; Secure",
    };
    let word = choice.language.word();
    let kept =
        format!("{COOKIE}={word}; Path=/; Max-Age={YEAR_S}; HttpOnly; SameSite=Strict{secure}");
    let to = if is_own(&choice.back) {
        choice.back.as_str()
    } else {
        "/"
    };
    let headers = [(header::SET_COOKIE, kept.as_str()), (header::LOCATION, to)];
    Ok((axum::http::StatusCode::SEE_OTHER, headers).into_response())
}

/// Returns whether it is a path of this service: browsers take `//host` and `/\host` for another.
fn is_own(path: &str) -> bool {
    let plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    path.starts_with('/') && !path.starts_with("//") && plain && path.len() < 2000
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_choice_goes_before_what_the_browser_asks_for() {
        let mut headers = HeaderMap::new();
        assert_eq!(Language::of(&headers), Language::Zh);
        headers.insert(
            header::ACCEPT_LANGUAGE,
            HeaderValue::from_static("en-GB,zh;q=0.8"),
        );
        assert_eq!(Language::of(&headers), Language::En);
        headers.insert(
            header::COOKIE,
            HeaderValue::from_static("plumb_language=zh"),
        );
        assert_eq!(Language::of(&headers), Language::Zh);
    }

    #[test]
    fn the_way_back_leads_nowhere_else() {
        for own in ["/", "/alarms?state=raised", "/alarms/1"] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}
