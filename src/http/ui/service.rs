//! The maintainer's page of the service itself: what works and what does not, as it is observed at this
//! moment, and the metrics in rows. It must never show a secret, nor what a camera saw.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::language::Language;
use super::texts::lacks::lack;
use super::texts::{Texts, fill};
use super::view::camera_name;
use super::{Frame, page};
use crate::auth::Role;
use crate::health::Link;
use crate::http::access::Principal;
use crate::http::checks::{self, Checked, Finding, Well, Why};
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::{Api, Service, figures, status};
use crate::scene::Kind;

/// That footage went before its days were over is told for so long after: the ring goes on at least once
/// a minute, so that it is told until there is room.
const CUT_TOLD: Duration = Duration::from_secs(3600);
const DAY_MS: f64 = 24.0 * 3_600_000.0;

#[derive(Template)]
#[template(path = "service.html", config = "src/http/ui/askama.toml")]
struct ServicePage {
    frame: Frame,
    version: &'static str,
    failed: usize,
    checks: Vec<Check>,
    may_check: bool,
    /// What a check of everything has found; none where none was wanted.
    found: Option<Vec<Check>>,
    metrics: Vec<MetricGroup>,
}

/// One thing that works or does not.
struct Check {
    what: String,
    tone: &'static str,
    word: &'static str,
    /// In the reader's words.
    told: String,
    /// In English, as logs and `plumb check` say it.
    detail: String,
}

/// The metrics of one stage.
struct MetricGroup {
    stage: String,
    rows: Vec<Metric>,
}

struct Metric {
    name: String,
    labels: String,
    value: String,
    help: String,
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
) -> Result<Response, ApiError> {
    shown(&service, &who, language, None).await
}

/// Tries everything anew and shows what came of it.
pub(crate) async fn check(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let findings = checks::run(&service, &who).await?;
    let found = findings
        .into_iter()
        .map(|finding| row(&service.api, language, finding));
    shown(&service, &who, language, Some(found.collect())).await
}

fn row(api: &Api, language: Language, finding: Finding) -> Check {
    let (t, c) = (language.texts(), language.checks());
    let what = match &finding.what {
        Checked::Config { line } => format!("{} {line}", c.config_line),
        Checked::Models => t.service_models.to_owned(),
        Checked::Decoding => c.decoding.to_owned(),
        Checked::DataDir => c.data_dir.to_owned(),
        Checked::Footage => language.footage().folder.to_owned(),
        Checked::Camera(id) => format!("{} {}", t.camera, camera_name(api, id)),
        Checked::Endpoint(id) => format!("{} {id}", t.receiver),
    };
    match finding.result {
        Ok(well) => Check {
            what,
            tone: if matches!(well, Well::Noted(_)) {
                "warn"
            } else {
                "good"
            },
            word: t.service_ok,
            told: match &well {
                Well::FolderWritable => language.footage().folder_writable.to_owned(),
                well => c.well(well),
            },
            detail: match well {
                Well::Answered(text) | Well::Noted(text) => text,
                _ => String::new(),
            },
        },
        Err(bad) => Check {
            what,
            tone: "bad",
            word: t.service_bad,
            told: match bad.why {
                Why::Footage => language.footage().folder_bad.to_owned(),
                why => c.bad(why).to_owned(),
            },
            detail: bad.detail,
        },
    }
}

async fn shown(
    service: &Service,
    who: &Principal,
    language: Language,
    found: Option<Vec<Check>>,
) -> Result<Response, ApiError> {
    let api = &service.api;
    let mut checks = own_checks(service, language).await;
    checks.extend(camera_checks(api, language));
    checks.extend(footage_checks(api, language).await?);
    checks.extend(endpoint_checks(api, language).await?);
    let text = figures::render(api).await?;
    let frame = Frame::of(language, "/service", who);
    page(&ServicePage {
        may_check: frame.is(&[Role::Manager, Role::Maintainer]),
        found,
        frame,
        version: env!("CARGO_PKG_VERSION"),
        failed: checks.iter().filter(|check| check.tone == "bad").count(),
        checks,
        metrics: groups(&text),
    })
}

/// What the service observes of one thing: in the reader's words, and what logs say of it.
struct Observed {
    is_well: bool,
    told: String,
    detail: String,
}

impl Observed {
    fn well(told: impl Into<String>) -> Self {
        Self {
            is_well: true,
            told: told.into(),
            detail: String::new(),
        }
    }

    fn bad(told: impl Into<String>, detail: Option<String>) -> Self {
        Self {
            is_well: false,
            told: told.into(),
            detail: detail.unwrap_or_default(),
        }
    }

    fn of(self, t: &'static Texts, what: String) -> Check {
        let (tone, word) = match self.is_well {
            true => ("good", t.service_ok),
            false => ("bad", t.service_bad),
        };
        Check {
            what,
            tone,
            word,
            told: self.told,
            detail: self.detail,
        }
    }
}

/// The store, the threads, the models, the key of the audit log, the encryption.
async fn own_checks(service: &Service, language: Language) -> Vec<Check> {
    let (api, t, c) = (&service.api, language.texts(), language.checks());
    let reasons = status::reasons(service).await;
    let ready = if reasons.is_empty() {
        Observed::well(c.ready)
    } else {
        let told: Vec<String> = reasons.iter().map(|why| c.not_ready(why)).collect();
        Observed::bad(told.join("; "), None)
    };
    let kinds = [Kind::Facade, Kind::Elevator];
    let models = api.replayer.iter().flat_map(|replayer| {
        let of = |kind| replayer.models(kind);
        kinds.into_iter().flat_map(of)
    });
    let models: Vec<String> = models
        .map(|model| {
            let short = model.sha256.get(..12).unwrap_or(&model.sha256);
            format!("{} {short}…", model.name)
        })
        .collect();
    let key = match &api.audit_key {
        Some(key) => Observed::well(format!("{} {}", key.signing().as_str(), key.public())),
        None => Observed::bad(c.no_key, None),
    };
    let tls = match &api.tls {
        Some(_) => c.tls_own,
        None => c.tls_elsewhere,
    };
    vec![
        ready.of(t, t.service_ready.to_owned()),
        Observed::well(models.join(", ")).of(t, t.service_models.to_owned()),
        key.of(t, t.service_audit_key.to_owned()),
        Observed::well(tls).of(t, "TLS".to_owned()),
    ]
}

fn camera_checks(api: &Api, language: Language) -> Vec<Check> {
    let (t, c) = (language.texts(), language.checks());
    let mut board = api.board.snapshot();
    let judged = api.cameras.iter().map(|camera| {
        let health = board.remove(&camera.id).unwrap_or_default();
        let format = health.codec.as_deref().unwrap_or("-");
        let shown = format!("{format} {}x{}", health.width_px, health.height_px);
        let result = match health.link {
            Link::Online if health.faults.is_empty() => {
                let fps = format!("{:.1}", health.fps);
                Observed::well(fill(c.frames, &[&shown, &fps]))
            }
            Link::Online => {
                let faults = health.faults.iter().map(|fault| t.kind_named(fault));
                let faults: Vec<&str> = faults.collect();
                Observed::bad(format!("{shown}: {}", faults.join(", ")), None)
            }
            Link::Connecting => Observed::bad(c.connecting, None),
            Link::Offline => {
                let why = health.error.map(|why| lack(language, &why));
                Observed::bad(
                    why.map_or(c.offline.to_owned(), |why| format!("{} · {why}", c.offline)),
                    None,
                )
            }
        };
        result.of(t, format!("{} {}", t.camera, camera_name(api, &camera.id)))
    });
    judged.collect()
}

/// How far the ring of each camera reaches back: not as far as wanted where there is no room for it.
async fn footage_checks(api: &Api, language: Language) -> Result<Vec<Check>, ApiError> {
    let (t, f) = (language.texts(), language.footage());
    let used = api.store.footage_use().await?;
    let cut = api.store.footage_cut().await?;
    let is_short = cut.is_some_and(|ago| ago < CUT_TOLD);
    let now_ms = api.clock.now().as_millisecond();
    let keep = api.cameras.iter().filter(|camera| camera.keeps_footage);
    let judged = keep.map(|camera| {
        let result = match used.iter().find(|used| used.camera == camera.id) {
            None => Observed::well(f.kept_none_yet),
            Some(used) => {
                let days = (now_ms - used.oldest_ms).max(0) as f64 / DAY_MS;
                let reaches = [&format!("{days:.1}") as &dyn Display, &api.footage.days];
                match is_short && days < api.footage.days as f64 {
                    true => Observed::bad(fill(f.reaches_short, &reaches), None),
                    false => Observed::well(fill(f.reaches, &reaches)),
                }
            }
        };
        result.of(t, format!("{} {}", f.footage, camera.name))
    });
    Ok(judged.collect())
}

async fn endpoint_checks(api: &Api, language: Language) -> Result<Vec<Check>, ApiError> {
    let (t, c) = (language.texts(), language.checks());
    let counts = api.store.outbox_counts().await?;
    let endpoints = api.store.endpoints().await?;
    let judged = endpoints.into_iter().map(|endpoint| {
        let count = counts.iter().find(|count| count.endpoint == endpoint.id);
        let (pending, dead) = count.map_or((0, 0), |count| (count.pending, count.dead));
        let waiting = fill(c.waiting, &[&pending, &dead]);
        let result = match endpoint.disabled_reason {
            Some(reason) => Observed::bad(fill(c.switched_off, &[&waiting]), Some(reason)),
            None if dead > 0 => Observed::bad(waiting, None),
            None => Observed::well(waiting),
        };
        result.of(t, format!("{} {}", t.receiver, endpoint.id))
    });
    Ok(judged.collect())
}

/// Returns the metrics by stage, the second word of their names. Of histograms only sum and count
/// are shown: the rest is for programs.
fn groups(text: &str) -> Vec<MetricGroup> {
    let mut help: BTreeMap<&str, &str> = BTreeMap::new();
    let mut stages: BTreeMap<&str, Vec<Metric>> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, told)) = line
            .strip_prefix("# HELP ")
            .and_then(|rest| rest.split_once(' '))
        {
            help.insert(name, told);
        }
        let Some((named, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let (name, labels) = named.split_once('{').unwrap_or((named, ""));
        if name.ends_with("_bucket") || labels.contains("quantile=") {
            continue;
        }
        let family = ["_sum", "_count"].iter().find_map(|ending| {
            name.strip_suffix(ending)
                .filter(|own| help.contains_key(own))
        });
        let told = help
            .get(family.unwrap_or(name))
            .copied()
            .unwrap_or_default();
        let stage = name.split('_').nth(1).unwrap_or(name);
        stages.entry(stage).or_default().push(Metric {
            name: name.to_owned(),
            labels: labels
                .trim_end_matches('}')
                .replace('"', "")
                .replace(',', ", "),
            value: value.to_owned(),
            help: told.to_owned(),
        });
    }
    stages
        .into_iter()
        .map(|(stage, rows)| MetricGroup {
            stage: stage.to_owned(),
            rows,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_rows_by_stage() {
        let text = "# HELP plumb_source_packets_total Packets taken\n\
            # TYPE plumb_source_packets_total counter\n\
            plumb_source_packets_total{camera=\"north\",kind=\"rtp\"} 12\n\
            # HELP plumb_decode_frame_seconds Time a frame\n\
            plumb_decode_frame_seconds_bucket{le=\"0.1\"} 3\n\
            plumb_decode_frame_seconds_sum 0.5\n\
            plumb_decode_frame_seconds_count 4\n";
        let groups = groups(text);
        let stages: Vec<_> = groups.iter().map(|group| group.stage.as_str()).collect();
        assert_eq!(stages, ["decode", "source"]);
        let sum = &groups[0].rows[0];
        assert_eq!(
            (sum.value.as_str(), sum.help.as_str()),
            ("0.5", "Time a frame")
        );
        assert_eq!(groups[0].rows.len(), 2, "buckets are for programs");
        let packets = &groups[1].rows[0];
        assert_eq!(packets.labels, "camera=north, kind=rtp");
        assert_eq!(packets.value, "12");
    }
}
