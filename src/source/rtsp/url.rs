//! A camera's address and login. Neither shows a password when it is printed, whatever prints it.

use std::fmt;

use url::Url;

/// Why an address or a login cannot be used. Never repeats the text: it may hold a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlError {
    #[error("is not a URL ({0}); write rtsp://host:port/path")]
    Syntax(url::ParseError),
    #[error("begins with {0:?}; only rtsp:// is supported (no rtsps://, no http://)")]
    Scheme(String),
    #[error("names no host; write rtsp://host:port/path")]
    NoHost,
    #[error("holds a user name or password that is not valid percent-encoding of UTF-8")]
    BadLogin,
    #[error("holds a control character in its user name or password")]
    ControlCharacter,
}

/// A login, from a file or the environment. Prints the user's name only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    username: String,
    password: String,
}

impl Credentials {
    /// Returns a login. Fails when a part holds a control character: it would break out of the
    /// header it is sent in.
    pub fn new(username: &str, password: &str) -> Result<Self, UrlError> {
        if username
            .chars()
            .chain(password.chars())
            .any(char::is_control)
        {
            return Err(UrlError::ControlCharacter);
        }
        Ok(Self {
            username: username.to_owned(),
            password: password.to_owned(),
        })
    }

    /// Returns the user's name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Returns the password, for the request that needs it and nothing else.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, ***)", self.username)
    }
}

/// Where a camera is: an rtsp URL without its login, which is kept apart.
#[derive(Clone, PartialEq, Eq)]
pub struct CameraUrl {
    url: Url,
    credentials: Option<Credentials>,
}

impl CameraUrl {
    /// Returns the address that `text` names, with the login it may hold.
    /// Fails when it is not an rtsp URL with a host.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let mut url = Url::parse(text).map_err(UrlError::Syntax)?;
        if url.scheme() != "rtsp" {
            return Err(UrlError::Scheme(format!("{}:", url.scheme())));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(UrlError::NoHost);
        }
        let login = (
            decoded(url.username())?,
            decoded(url.password().unwrap_or_default())?,
        );
        let credentials = match (login.0.as_str(), login.1.as_str()) {
            ("", "") => None,
            (username, password) => Some(Credentials::new(username, password)?),
        };
        url.set_username("").map_err(|()| UrlError::NoHost)?;
        url.set_password(None).map_err(|()| UrlError::NoHost)?;
        Ok(Self { url, credentials })
    }

    /// Returns the login that stood in the URL.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Returns the host's name or address.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Returns the port, 554 where the URL names none.
    pub fn port(&self) -> u16 {
        self.url.port().unwrap_or(554)
    }

    /// Returns the URL to ask for; it may hold a password in its path or query.
    pub(crate) fn request(&self) -> Url {
        self.url.clone()
    }

    /// Returns `text` without anything of this address that may be secret.
    pub(crate) fn scrub(&self, text: &str, login: Option<&Credentials>) -> String {
        let mut text = text.replace(self.url.as_str(), &self.to_string());
        for secret in [
            self.url.query(),
            self.credentials.as_ref().map(Credentials::password),
            login.map(Credentials::password),
        ] {
            if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
                text = text.replace(secret, "***");
            }
        }
        text
    }
}

impl fmt::Display for CameraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some makers put the password into the path or the query.
        let path = self.url.path();
        let path = if path.to_ascii_lowercase().contains("pass") {
            "/***"
        } else {
            path
        };
        let query = if self.url.query().is_some() {
            "?***"
        } else {
            ""
        };
        write!(f, "rtsp://{}:{}{path}{query}", self.host(), self.port())
    }
}

impl fmt::Debug for CameraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CameraUrl({self})")
    }
}

/// Returns `text` with %XX replaced by the bytes they stand for.
fn decoded(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = rest.get(..2).ok_or(UrlError::BadLogin)?;
        let digits = str::from_utf8(digits).map_err(|_| UrlError::BadLogin)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| UrlError::BadLogin)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| UrlError::BadLogin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_password() {
        let url = CameraUrl::parse("rtsp://admin:s%40cret@10.0.0.7/live?token=abc").unwrap();
        assert_eq!(url.to_string(), "rtsp://10.0.0.7:554/live?***");
        let login = url.credentials().unwrap();
        assert_eq!(login.password(), "s@cret");
        let shown = format!("{url:?} {login:?}");
        assert!(!shown.contains("cret") && !shown.contains("abc"), "{shown}");

        let maker =
            CameraUrl::parse("rtsp://10.0.0.7/user=admin_password=s3cret_channel=1").unwrap();
        assert!(!maker.to_string().contains("s3cret"));
    }

    #[test]
    fn scrubs_what_others_say() {
        let url = CameraUrl::parse("rtsp://admin:hunter2@cam/live?key=k9").unwrap();
        let said = url.scrub("rtsp://cam/live?key=k9 refused hunter2", None);
        assert_eq!(said, "rtsp://cam:554/live?*** refused ***");
    }

    #[test]
    fn refuses_what_is_no_rtsp_url_without_repeating_it() {
        for bad in [
            "rtsps://u:hunter2@cam/",
            "http://u:hunter2@cam/",
            "u:hunter2@cam",
            "rtsp:///x",
        ] {
            let error = CameraUrl::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert_eq!(
            CameraUrl::parse("rtsp://u:%0Ahunter2@cam/").unwrap_err(),
            UrlError::ControlCharacter
        );
    }
}
