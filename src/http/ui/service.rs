//! The maintainer's page of the service itself: what works and what does not, as it is observed at this
//! moment, and the metrics in rows. It must never show a secret, nor what a camera saw.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::language::Language;
use super::texts::Texts;
use super::view::camera_name;
use super::{Frame, page};
use crate::auth::Role;
use crate::health::Link;
use crate::http::access::Principal;
use crate::http::checks::{self, Checked, Finding, Well};
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::{Api, Service, figures, status};
use crate::scene::Kind;

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
    /// In the reader's words; empty where there is only the detail.
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
            told: c.well(&well),
            detail: match well {
                Well::Answered(text) | Well::Noted(text) => text,
                _ => String::new(),
            },
        },
        Err(bad) => Check {
            what,
            tone: "bad",
            word: t.service_bad,
            told: c.bad(bad.why).to_owned(),
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
    let (api, t) = (&service.api, language.texts());
    let mut checks = own_checks(service, t).await;
    checks.extend(camera_checks(api, t));
    checks.extend(endpoint_checks(api, t).await?);
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

fn observed(t: &'static Texts, what: String, result: Result<String, String>) -> Check {
    let (tone, word, detail) = match result {
        Ok(detail) => ("good", t.service_ok, detail),
        Err(detail) => ("bad", t.service_bad, detail),
    };
    Check {
        what,
        tone,
        word,
        told: String::new(),
        detail,
    }
}

/// The store, the threads, the models, the key of the audit log, the encryption.
async fn own_checks(service: &Service, t: &'static Texts) -> Vec<Check> {
    let api = &service.api;
    let reasons = status::reasons(service).await;
    let ready = match reasons.is_empty() {
        true => Ok("the store takes writes, every thread is alive".to_owned()),
        false => Err(reasons.join("; ")),
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
        Some(key) => Ok(format!("{} {}", key.signing().as_str(), key.public())),
        None => Err("the log is in memory only: nothing signs it".to_owned()),
    };
    let tls = match &api.tls {
        Some(_) => "by the service itself".to_owned(),
        None => "not by the service: a proxy, or plain http".to_owned(),
    };
    vec![
        observed(t, t.service_ready.to_owned(), ready),
        observed(t, t.service_models.to_owned(), Ok(models.join(", "))),
        observed(t, t.service_audit_key.to_owned(), key),
        observed(t, "TLS".to_owned(), Ok(tls)),
    ]
}

fn camera_checks(api: &Api, t: &'static Texts) -> Vec<Check> {
    let mut board = api.board.snapshot();
    let judged = api.cameras.iter().map(|camera| {
        let health = board.remove(&camera.id).unwrap_or_default();
        let format = health.codec.as_deref().unwrap_or("-");
        let shown = format!("{format} {}x{}", health.width_px, health.height_px);
        let result = match health.link {
            Link::Online if health.faults.is_empty() => {
                Ok(format!("{shown}, {:.1} frames a second", health.fps))
            }
            Link::Online => Err(format!("{shown}: {}", health.faults.join(", "))),
            Link::Connecting => Err("it is being connected".to_owned()),
            Link::Offline => Err(health.error.unwrap_or_else(|| "offline".to_owned())),
        };
        let what = format!("{} {}", t.camera, camera_name(api, &camera.id));
        observed(t, what, result)
    });
    judged.collect()
}

async fn endpoint_checks(api: &Api, t: &'static Texts) -> Result<Vec<Check>, ApiError> {
    let counts = api.store.outbox_counts().await?;
    let endpoints = api.store.endpoints().await?;
    let judged = endpoints.into_iter().map(|endpoint| {
        let count = counts.iter().find(|count| count.endpoint == endpoint.id);
        let (pending, dead) = count.map_or((0, 0), |count| (count.pending, count.dead));
        let waiting = format!("{pending} waiting, {dead} given up");
        let result = match endpoint.disabled_reason {
            Some(reason) => Err(format!("switched off: {reason}; {waiting}")),
            None if dead > 0 => Err(waiting),
            None => Ok(waiting),
        };
        observed(t, format!("{} {}", t.receiver, endpoint.id), result)
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
