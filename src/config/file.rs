//! The configuration as written: TOML with the place of each value kept for error messages.
//! Nothing is judged here beyond types and key names.

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;

/// The documentation of every key, and the list of the keys there are.
pub const DEFAULT: &str = include_str!("default.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default = "default_data_dir")]
    pub data_dir: String,
    #[serde(default)]
    pub http: Http,
    #[serde(default)]
    pub log: Log,
    #[serde(default)]
    pub models: Models,
    #[serde(default)]
    pub inference: Inference,
    #[serde(default)]
    pub decode: super::Decode,
    #[serde(default)]
    pub retention: Retention,
    #[serde(default)]
    pub footage: Footage,
    #[serde(default)]
    pub privacy: Privacy,
    #[serde(default)]
    pub audit: super::Audit,
    #[serde(default)]
    pub auth: super::Auth,
    #[serde(default)]
    pub replay: Replay,
    #[serde(default)]
    pub site: Vec<Site>,
    #[serde(default)]
    pub camera: Vec<Camera>,
    #[serde(default)]
    pub building: Vec<Building>,
    #[serde(default)]
    pub elevator: Vec<Elevator>,
    #[serde(default)]
    pub endpoint: Vec<Endpoint>,
    #[serde(default)]
    pub escalation: Vec<Escalation>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    pub listen: Spanned<String>,
    pub public_url: Option<Spanned<String>>,
    pub tls_certificate: Option<Spanned<String>>,
    pub tls_key: Option<Spanned<String>>,
    pub allow_plain_http: bool,
    /// Of before there was a sign-in; see `check`.
    pub allow_unauthenticated: Option<Spanned<bool>>,
    pub proxies: Vec<Spanned<String>>,
    pub session_idle_minutes: Spanned<u64>,
    pub session_hours: Spanned<u64>,
}

impl Default for Http {
    fn default() -> Self {
        let listen = Spanned::new(0..0, "127.0.0.1:8480".to_owned());
        Self {
            listen,
            public_url: None,
            tls_certificate: None,
            tls_key: None,
            allow_plain_http: false,
            allow_unauthenticated: None,
            proxies: Vec::new(),
            session_idle_minutes: Spanned::new(0..0, 30),
            session_hours: Spanned::new(0..0, 12),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub format: super::LogFormat,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retention {
    pub evidence_days: Spanned<u64>,
    pub evidence_budget_mib: Option<Spanned<u64>>,
    pub min_free_mib: Spanned<u64>,
    pub warn_percent: Spanned<u64>,
    pub full_percent: Spanned<u64>,
    pub reserve_mib: Spanned<u64>,
    pub event_days: Spanned<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        let unwritten = |value| Spanned::new(0..0, value);
        Self {
            evidence_days: unwritten(90),
            evidence_budget_mib: None,
            min_free_mib: unwritten(2048),
            warn_percent: unwritten(80),
            full_percent: unwritten(95),
            reserve_mib: unwritten(64),
            event_days: unwritten(30),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Footage {
    pub days: Spanned<u64>,
    pub budget_mib: Option<Spanned<u64>>,
    pub dir: Option<String>,
}

impl Default for Footage {
    fn default() -> Self {
        Self {
            days: Spanned::new(0..0, 30),
            budget_mib: None,
            dir: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Privacy {
    pub see_people: Spanned<Vec<String>>,
    pub live_encodings: Spanned<u64>,
}

impl Default for Privacy {
    fn default() -> Self {
        let all = crate::auth::SEE_PEOPLE.map(|role| role.to_string());
        Self {
            see_people: Spanned::new(0..0, all.to_vec()),
            live_encodings: Spanned::new(0..0, 2),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Models {
    pub dir: Option<String>,
    pub runtime: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Inference {
    pub provider: crate::detect::Provider,
    pub threads: Option<Spanned<usize>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Replay {
    pub recordings_dir: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Site {
    pub id: Spanned<String>,
    pub name: Option<String>,
    pub civil_code: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Building {
    pub id: Spanned<String>,
    pub site: Spanned<String>,
    pub name: Option<String>,
    pub floors: Spanned<i32>,
}

impl Building {
    /// Returns what a camera may call it.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let id = self.id.get_ref().as_str();
        std::iter::once(id).chain(self.name.as_deref())
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Elevator {
    pub id: Spanned<String>,
    pub site: Spanned<String>,
    #[serde(default)]
    pub building: String,
    pub name: Option<String>,
}

impl Elevator {
    /// Returns what a camera may call it.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let id = self.id.get_ref().as_str();
        std::iter::once(id).chain(self.name.as_deref())
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Camera {
    pub id: Spanned<String>,
    pub name: Option<String>,
    pub site: Spanned<String>,
    pub building: Option<Spanned<String>>,
    pub elevator: Option<Spanned<String>>,
    pub place: Option<String>,
    pub code: Option<Spanned<String>>,
    pub longitude: Option<Spanned<f64>>,
    pub latitude: Option<Spanned<f64>>,
    pub kind: crate::scene::Kind,
    pub url: Spanned<String>,
    #[serde(default)]
    pub transport: Transport,
    pub username: Option<String>,
    pub password_file: Option<Spanned<String>>,
    pub password_env: Option<Spanned<String>>,
    pub scene: Option<Spanned<String>>,
    #[serde(default)]
    pub footage: bool,
    pub connect_timeout_s: Option<Spanned<f64>>,
    pub stall_timeout_s: Option<Spanned<f64>>,
}

impl Camera {
    /// Returns the building that it names; empty where it names none.
    pub(super) fn building(&self) -> &str {
        self.building.as_ref().map_or("", |named| named.get_ref())
    }

    /// Returns the elevator that it names; empty where it names none.
    pub(super) fn elevator(&self) -> &str {
        self.elevator.as_ref().map_or("", |named| named.get_ref())
    }

    /// Returns what people call the place that it watches.
    pub(super) fn place(&self) -> String {
        let parts = [self.building(), self.elevator()];
        let named: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        self.place.clone().unwrap_or_else(|| named.join(", "))
    }
}

/// How RTP travels.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Transport {
    #[default]
    Tcp,
    Udp,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    pub id: Spanned<String>,
    pub url: Spanned<String>,
    pub secret_file: Option<Spanned<String>>,
    pub secret_env: Option<Spanned<String>>,
    #[serde(default)]
    pub kinds: Vec<crate::alarm::AlarmKind>,
    #[serde(default)]
    pub sites: Vec<Spanned<String>>,
    pub min_score: Option<Spanned<f64>>,
    #[serde(default)]
    pub escalations_only: bool,
    #[serde(default)]
    pub shelved: bool,
    pub timeout_s: Option<Spanned<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Escalation {
    pub id: Spanned<String>,
    pub after_s: Spanned<u64>,
    pub endpoints: Spanned<Vec<String>>,
    #[serde(default)]
    pub kinds: Vec<crate::alarm::AlarmKind>,
    #[serde(default)]
    pub sites: Vec<Spanned<String>>,
}

/// Keys that are understood and not documented any more.
const OLD_KEYS: [&str; 1] = ["allow_unauthenticated"];

fn default_data_dir() -> String {
    "data".to_owned()
}

/// Parses `text`. Fails with every unknown key (and the nearest one there is), or else with the
/// first value that is not of its type.
pub(super) fn parse(text: &str) -> Result<File, Vec<Problem>> {
    let place = |offset: usize| line_of(text, offset);
    let table = DeTable::parse(text).map_err(|error| {
        vec![Problem::new(
            error.span().map(|span| place(span.start)),
            error.message().to_owned(),
        )]
    })?;
    let mut unknown = Vec::new();
    let known = DeTable::parse(KEYS.as_str()).expect("the documentation is TOML, as a test shows");
    compare(
        table.get_ref(),
        known.get_ref(),
        "",
        &mut |offset, message| {
            unknown.push(Problem::new(Some(place(offset)), message));
        },
    );
    if !unknown.is_empty() {
        return Err(unknown);
    }
    toml::from_str(text).map_err(|error| {
        vec![Problem::new(
            error.span().map(|span| place(span.start)),
            error.message().to_owned(),
        )]
    })
}

/// Returns `data_dir` alone. Fails when the text is no TOML, or it is no text.
pub(super) fn data_dir(text: &str) -> Result<String, Problem> {
    #[derive(Deserialize)]
    struct Only {
        #[serde(default = "default_data_dir")]
        data_dir: String,
    }
    let read: Result<Only, _> = toml::from_str(text);
    read.map(|only| only.data_dir).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        Problem::new(line, error.message().to_owned())
    })
}

/// Returns the 1-based line of a byte offset.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(offset)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

/// The documentation with the keys that it shows commented out.
static KEYS: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    let uncomment = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_assignment(rest) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    DEFAULT.lines().map(uncomment).collect()
});

fn is_assignment(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| {
        !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    })
}

fn compare(
    given: &DeTable<'_>,
    known: &DeTable<'_>,
    within: &str,
    tell: &mut impl FnMut(usize, String),
) {
    for (key, value) in given {
        let name: &str = key.get_ref();
        if OLD_KEYS.contains(&name) {
            continue;
        }
        let Some(known_value) = known.get(name) else {
            let nearest =
                known
                    .keys()
                    .map(|k| k.get_ref().as_ref())
                    .max_by(|a: &&str, b: &&str| {
                        strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name))
                    });
            let hint = nearest
                .map(|n| format!("; did you mean {n:?}?"))
                .unwrap_or_default();
            tell(
                key.span().start,
                format!("there is no key {name:?}{within}{hint}"),
            );
            continue;
        };
        let within = format!(" in [{name}]");
        match (value.get_ref(), known_value.get_ref()) {
            (DeValue::Table(given), DeValue::Table(known)) => compare(given, known, &within, tell),
            (DeValue::Array(given), DeValue::Array(known)) => {
                let Some(DeValue::Table(known)) = known.first().map(Spanned::get_ref) else {
                    continue;
                };
                for item in given.iter() {
                    if let DeValue::Table(given) = item.get_ref() {
                        compare(given, known, &within, tell);
                    }
                }
            }
            _ => {}
        }
    }
}
