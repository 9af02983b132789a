//! One webhook request: the message, its signature, the answer.
//!
//! Follows Standard Webhooks (standardwebhooks.com): `webhook-id`, `webhook-timestamp`,
//! `webhook-signature: v1,base64(HMAC-SHA256(secret, "id.timestamp.body"))`, one signature per
//! secret. It must never follow a redirect (the body would go where nobody configured it), use a
//! proxy, wait without a deadline, or say a secret or a URL in an error.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use url::Url;

use super::{EndpointConfig, retry};
use crate::clock::Clock;
use crate::evidence;
use crate::store::EventRecord;

/// A message is never larger: receivers' limits begin at about this.
pub const BODY_SIZE_BYTES_MAX: usize = 20_000;
/// Characters of each text in a message that would otherwise be too large.
const TEXT_CHARS_MAX: usize = 200;
/// Waits no longer for a connection, name resolution and TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Reads no more of an answer than this; the rest is cut off with the connection.
const ANSWER_SIZE_BYTES_MAX: usize = 16 << 10;
/// Waits no longer for the rest of an answer: its status has decided already.
const ANSWER_REST_MAX: Duration = Duration::from_secs(1);
/// Characters of a failed answer that are kept for the operator.
const ANSWER_KEPT_CHARS: usize = 200;

/// A signing secret: `whsec_` and base64 of 24 to 64 bytes. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// A text that is not a secret; the text is not repeated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a signing secret: write \"whsec_\" and base64 of 24 to 64 random bytes")]
pub struct BadSecret;

impl FromStr for Secret {
    type Err = BadSecret;

    fn from_str(text: &str) -> Result<Self, BadSecret> {
        let encoded = text.strip_prefix("whsec_").ok_or(BadSecret)?;
        let key = BASE64.decode(encoded).map_err(|_| BadSecret)?;
        if (24..=64).contains(&key.len()) {
            Ok(Self(key))
        } else {
            Err(BadSecret)
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Returns the value of `webhook-signature`: a signature per secret, so that a receiver may change
/// its secret without losing a message.
pub fn sign(secrets: &[Secret], id: &str, timestamp_s: i64, body: &str) -> String {
    let signatures = secrets.iter().map(|secret| {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&secret.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

/// Returns the message of an event:
/// `{"type":"alarm.raised","timestamp":"…Z","data":{…the alarm…,"links":{…}}}`. `data` is
/// [`crate::store::AlarmSnapshot`]; `links` are addresses below `public_url`: `alarm` always, and
/// `snapshot`, `clip`, `strobe`, `manifest` unless the evidence is known to lack them.
pub fn message(event: &EventRecord, public_url: &Url) -> String {
    let mut data = match serde_json::from_str(&event.body) {
        Ok(Value::Object(data)) => data,
        _ => Map::new(),
    };
    if let Some(alarm) = event.alarm {
        let base = format!(
            "{}/api/v1/alarms/{alarm}",
            public_url.as_str().trim_end_matches('/')
        );
        data.insert("links".to_owned(), links(&base, &data));
    }
    let at = Timestamp::from_millisecond(event.at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let kind = event.kind.as_str();
    let whole = envelope(kind, at, Value::Object(data.clone()));
    if whole.len() <= BODY_SIZE_BYTES_MAX {
        return whole;
    }
    // Thousands of characters in a note or a name: the link leads to the rest.
    data.insert("track".to_owned(), Value::Array(Vec::new()));
    for value in data.values_mut() {
        if let Value::String(text) = value {
            *text = text.chars().take(TEXT_CHARS_MAX).collect();
        }
    }
    envelope(kind, at, Value::Object(data))
}

/// Returns the message that `plumb check` sends.
pub fn test_message(at: Timestamp) -> String {
    envelope(
        "plumb.test",
        at,
        json!({ "text": "Plumb can reach this endpoint." }),
    )
}

fn envelope(kind: &str, at: Timestamp, data: Value) -> String {
    json!({ "type": kind, "timestamp": format!("{at:.3}"), "data": data }).to_string()
}

fn links(base: &str, data: &Map<String, Value>) -> Value {
    let mut links = Map::new();
    links.insert("alarm".to_owned(), base.into());
    let has = |name: &str| {
        let files = data.get("files").and_then(Value::as_array);
        files.is_some_and(|files| files.iter().any(|file| file["name"] == name))
    };
    // While it is being gathered, the addresses at which it will be are told already.
    let pending = data.get("evidence").is_some_and(|state| state == "pending");
    let falls = data
        .get("kind")
        .is_some_and(|kind| kind == "falling_object");
    for (link, name, expected) in [
        ("snapshot", evidence::SNAPSHOT, true),
        ("clip", evidence::CLIP, true),
        ("strobe", evidence::STROBE, falls),
        ("manifest", evidence::MANIFEST, true),
    ] {
        if has(name) || (pending && expected) {
            links.insert(link.to_owned(), format!("{base}/evidence/{name}").into());
        }
    }
    Value::Object(links)
}

/// Why the client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "the webhook client cannot be made: are the system's certificates (ca-certificates) installed?"
)]
pub struct ClientError(#[from] reqwest::Error);

/// Sends messages; clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
}

/// What came of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub duration_ms: i64,
    /// HTTP status; none where no answer came.
    pub status: Option<u16>,
    pub verdict: Verdict,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Accepted,
    /// To be tried again, no sooner than the receiver asks.
    Failed {
        error: String,
        retry_after: Option<Duration>,
    },
    /// The receiver wants nothing more, ever (410).
    Gone,
}

impl Client {
    /// Returns a client. Fails where TLS cannot be set up.
    pub fn open(clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        // Fails when a provider is installed already, by an earlier call: that one serves.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_MAX)
            .pool_max_idle_per_host(4)
            .user_agent(concat!("plumb/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, clock })
    }

    /// Sends one signed message and waits for its answer, no longer than the endpoint's timeout.
    pub async fn post(&self, endpoint: &EndpointConfig, id: &str, body: String) -> Answer {
        let began = self.clock.monotonic();
        let timestamp_s = self.clock.now().as_second();
        let request = self
            .http
            .post(endpoint.url.clone())
            .timeout(endpoint.timeout)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp_s)
            .header(
                "webhook-signature",
                sign(&endpoint.secrets, id, timestamp_s, &body),
            )
            .body(body);
        let (status, verdict) = match request.send().await {
            Ok(response) => self.judge(response).await,
            Err(error) => (None, failed(reason_of(error))),
        };
        let took = self.clock.monotonic().saturating_sub(began);
        Answer {
            duration_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            status,
            verdict,
        }
    }

    async fn judge(&self, response: reqwest::Response) -> (Option<u16>, Verdict) {
        let status = response.status();
        let headers = response.headers().clone();
        // The status decides; an answer that breaks off changes nothing.
        let text = read_bounded(response).await;
        let verdict = match status.as_u16() {
            200..=299 => Verdict::Accepted,
            410 => Verdict::Gone,
            300..=399 => failed(format!(
                "answered {status}: redirects are refused; configure the final address{}",
                header(&headers, LOCATION.as_str())
                    .map(|to| format!(" ({to})"))
                    .unwrap_or_default()
            )),
            _ => Verdict::Failed {
                error: if text.is_empty() {
                    format!("answered {status}")
                } else {
                    format!("answered {status}: {text}")
                },
                retry_after: header(&headers, RETRY_AFTER.as_str())
                    .and_then(|value| retry::retry_after(value, self.clock.now())),
            },
        };
        (Some(status.as_u16()), verdict)
    }
}

fn failed(error: String) -> Verdict {
    Verdict::Failed {
        error,
        retry_after: None,
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns the beginning of the answer's text, in one line.
async fn read_bounded(mut response: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    let rest = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            bytes.extend_from_slice(&chunk);
            if bytes.len() >= ANSWER_SIZE_BYTES_MAX {
                break;
            }
        }
    };
    tokio::time::timeout(ANSWER_REST_MAX, rest).await.ok();
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text = String::from_utf8_lossy(&bytes);
    text.trim()
        .chars()
        .take(ANSWER_KEPT_CHARS)
        .map(plain)
        .collect()
}

/// Returns an error and its causes in one line, without the URL: it may hold a secret.
fn reason_of(error: reqwest::Error) -> String {
    let error = error.without_url();
    let what = if error.is_timeout() && error.is_connect() {
        "no connection before the deadline"
    } else if error.is_timeout() {
        "no answer before the deadline"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the request failed"
    };
    let mut text = what.to_owned();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_agrees_with_the_reference() {
        // The example of the standard's own libraries (standard-webhooks, libraries/*/tests).
        let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
            .parse()
            .expect("a secret");
        let signature = sign(
            &[secret],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn several_secrets_give_several_signatures() {
        let secrets: Vec<Secret> = ["A", "B"]
            .iter()
            .map(|letter| {
                let key = format!("whsec_{}", letter.repeat(32));
                key.parse().expect("a secret")
            })
            .collect();
        let signature = sign(&secrets, "msg_1", 1, "{}");
        assert_eq!(signature.split(' ').count(), 2);
        assert_eq!(signature.matches("v1,").count(), 2);
    }

    #[test]
    fn secrets_are_checked_and_never_printed() {
        for bad in [
            "",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_c2hvcnQ=",
            "whsec_*",
        ] {
            assert_eq!(bad.parse::<Secret>(), Err(BadSecret));
        }
        let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
            .parse()
            .expect("a secret");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
