//! Probes, metrics, and the end of the service.

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use plumb::http::{Bad, Checked, Checker, Finding, Well, Why};

use super::*;

#[tokio::test]
async fn a_living_service_says_so() {
    let service = Service::start().await;
    assert_eq!(service.json("/healthz").await["status"], "alive");
    let _camera = service.threads.enter("camera north");
    assert_eq!(service.json("/readyz").await["status"], "ready");
}

#[tokio::test]
async fn readiness_names_every_thread_that_died() {
    let service = Service::start().await;
    drop(service.threads.enter("camera north"));
    drop(service.threads.enter("delivery"));
    let _living = service.threads.enter("camera lift-2");
    let problem = refusal(service.get("/readyz"), 503, "not-ready").await;
    let reasons = [
        "the thread of camera north has died",
        "the thread of delivery has died",
    ];
    assert_eq!(problem["reasons"], serde_json::json!(reasons));
    assert_eq!(service.json("/healthz").await["status"], "alive");
}

#[tokio::test]
async fn readiness_names_a_store_that_takes_no_writes() {
    let service = Service::start().await;
    let database = service.store.path().to_owned();
    let options = SqliteConnectOptions::new().filename(&database);
    let mut other = SqliteConnection::connect_with(&options)
        .await
        .expect("the same file");
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .expect("the write lock");
    let problem = refusal(service.get("/readyz"), 503, "not-ready").await;
    let reason = problem["reasons"][0].as_str().expect("one reason");
    assert_eq!(
        reason,
        "the store cannot be written: another program holds it"
    );
    let folder = service.folder.path().to_string_lossy().into_owned();
    assert!(
        !problem.to_string().contains(&folder),
        "{problem} names a path of this machine"
    );
}

#[tokio::test]
async fn every_metric_parses_and_is_described() {
    let service = Service::start().await;
    let camera = CameraId::parse("north").expect("an id");
    service.board.update(&camera, |health| health.frames = 250);
    service.raise(&fall(MORNING_MS)).await;
    service.json("/api/v1/alarms").await;
    let response = service.get("/metrics").send().await.expect("an answer");
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = response.text().await.expect("text");
    let samples: Vec<Sample> = text.lines().filter_map(sample).collect();
    let value = |name: &str, label: &str| {
        let sample = samples
            .iter()
            .find(|s| s.name == name && s.labels.contains(label));
        sample
            .unwrap_or_else(|| panic!("{name}{{{label}}} is missing in {text}"))
            .value
    };
    assert_eq!(
        value("plumb_decode_frames_total", "camera=\"north\""),
        250.0
    );
    assert_eq!(value("plumb_deliver_pending", "endpoint=\"pager\""), 1.0);
    assert!(value("plumb_process_resident_bytes", "") > 1e6);
    assert!(value("plumb_http_requests_total", "route=\"/api/v1/alarms\"") >= 1.0);
    for sample in &samples {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|s| sample.name.strip_suffix(s));
        let described = |name: &str| text.contains(&format!("# HELP {name} "));
        let family = family
            .filter(|family| described(family))
            .unwrap_or(&sample.name);
        assert!(described(family), "{family} is not described");
        assert!(
            plumb::metrics::METRICS
                .iter()
                .any(|metric| metric.name == family),
            "{family}"
        );
    }
}

struct Sample {
    name: String,
    labels: String,
    value: f64,
}

/// Returns a line's sample, none for a comment or an empty line.
fn sample(line: &str) -> Option<Sample> {
    if line.is_empty() || line.starts_with("# HELP ") || line.starts_with("# TYPE ") {
        return None;
    }
    let (series, value) = line.rsplit_once(' ').expect("a series and its value");
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect("labels end")),
        None => (series, ""),
    };
    assert!(
        name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
        "{line}"
    );
    let value = value.parse().expect("a number");
    Some(Sample {
        name: name.to_owned(),
        labels: labels.to_owned(),
        value,
    })
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_keep_a_browser_safe() {
    let service = Service::start().await;
    for path in [
        "/healthz",
        "/api/v1/alarms",
        "/openapi.json",
        "/nothing/here",
    ] {
        let response = service.get(path).send().await.expect("an answer");
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{path}"
        );
        assert_eq!(headers["x-request-id"].len(), 16, "{path}");
    }
}

#[tokio::test]
async fn stopping_ends_the_streams_and_then_the_service() {
    let service = Service::start().await;
    let stream = service
        .get("/api/v1/alarms/stream")
        .send()
        .await
        .expect("a stream");
    service.stop.cancel();
    let ended = tokio::time::timeout(PATIENCE, stream.text())
        .await
        .expect("the stream ends");
    assert!(ended.expect("it ends in order").contains("retry: 2000"));
    let served = tokio::time::timeout(PATIENCE, service.served)
        .await
        .expect("it stops");
    assert!(served.expect("no panic").is_ok());
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let limits = Limits {
        idle: Duration::from_millis(50),
        ..Limits::default()
    };
    let service = Service::start_within(limits).await;
    let address = service
        .url
        .strip_prefix("http://")
        .expect("a URL")
        .to_owned();
    let mut silent = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let mut byte = [0; 1];
    let read = tokio::io::AsyncReadExt::read(&mut silent, &mut byte);
    let read = tokio::time::timeout(PATIENCE, read)
        .await
        .expect("it is closed");
    assert!(matches!(read, Ok(0) | Err(_)));
}

#[test]
fn every_metric_that_is_counted_is_in_the_list() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut counted = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let code = std::fs::read(&path).unwrap_or_default();
            let code = String::from_utf8_lossy(&code);
            for macro_name in ["counter!(", "gauge!(", "histogram!("] {
                for after in code.split(macro_name).skip(1) {
                    // A name that is computed has no quote here.
                    let Some(text) = after.trim_start().strip_prefix('"') else {
                        continue;
                    };
                    let name = text.split('"').next().expect("a closing quote");
                    let known = plumb::metrics::METRICS
                        .iter()
                        .any(|metric| metric.name == name);
                    assert!(
                        known,
                        "{} counts {name}, which metrics::METRICS lacks",
                        path.display()
                    );
                    counted += 1;
                }
            }
        }
    }
    assert!(counted > 10, "the sources were not found");
}

/// Finds a camera that is well, one that is not, and a receiver that has taken its message.
#[derive(Debug)]
pub(super) struct Tried;

impl Checker for Tried {
    fn check(self: Arc<Self>) -> futures::future::BoxFuture<'static, Vec<Finding>> {
        let camera = |id: &str| Checked::Camera(CameraId::parse(id).expect("an id"));
        let findings = vec![
            Finding {
                what: camera("north"),
                result: Ok(Well::Picture {
                    codec: "H265".to_owned(),
                    width_px: 1920,
                    height_px: 1080,
                }),
            },
            Finding {
                what: camera("lift-2"),
                result: Err(Bad {
                    why: Why::Unreachable,
                    detail: "connection refused".to_owned(),
                }),
            },
            Finding {
                what: Checked::Endpoint(EndpointId::parse("pager").expect("an id")),
                result: Ok(Well::Answered("answered 204 in 3 ms".to_owned())),
            },
        ];
        Box::pin(async { findings })
    }
}

#[tokio::test]
async fn a_check_of_everything_is_told_by_row_and_written_down() {
    let service = Service::start().await;
    let report = service.post("/api/v1/service/check").send().await;
    let report: Value = report.expect("an answer").json().await.expect("JSON");
    assert_eq!(report["failed"], 1, "{report}");
    assert_eq!(
        report["findings"][1],
        serde_json::json!({ "what": "camera", "id": "lift-2", "ok": false, "detail": "connection refused" })
    );
    for (language, expected) in [
        (
            "en",
            [
                "H265 1920x1080, a picture was decoded",
                "The camera cannot be reached",
                "The receiver has taken the test message",
            ],
        ),
        (
            "zh",
            [
                "H265 1920x1080，已解码一帧画面",
                "无法连接摄像机",
                "接收方已收下测试消息",
            ],
        ),
    ] {
        let page = service.post("/service").header("accept-language", language);
        let page = page
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("text");
        for text in expected {
            assert!(page.contains(text), "{text} is missing in {page}");
        }
    }
    let rows = service.store.audit_after(0, 100).await.expect("readable");
    let checked = rows.iter().filter(|row| row.action == "service.checked");
    assert_eq!(checked.count(), 3);
}
