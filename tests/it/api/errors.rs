//! What is refused, how it is said, and what must not get through.

use super::*;

const NO_ALARM: &str = "019a0b1c-7d2e-7f00-8a00-0123456789ab";
const NO_DELIVERY: &str = "msg_00000000000000000000000000000000";

#[expect(
    clippy::too_many_lines,
    reason = "one table of all refusals is read as a whole"
)]
#[tokio::test]
async fn every_refusal_names_its_kind_and_the_way_out() {
    let service = Service::start().await;
    let alarm = format!("/api/v1/alarms/{NO_ALARM}");
    let retry = format!("/api/v1/deliveries/{NO_DELIVERY}/retry");
    let cases = [
        (
            "/api/v1/alarms?camra=north",
            400,
            "unknown-parameter",
            "did you mean \"camera\"?",
        ),
        (
            "/api/v1/alarms?offset=5",
            400,
            "unknown-parameter",
            "there are site, camera, shelved",
        ),
        ("/healthz?x=1", 400, "unknown-parameter", "takes none"),
        (
            "/api/v1/cameras?site=garden",
            400,
            "unknown-parameter",
            "takes none",
        ),
        (
            "/api/v1/alarms?kind=shake&kind=shake",
            400,
            "repeated-parameter",
            "give it once",
        ),
        (
            "/api/v1/alarms?kind=fire",
            400,
            "bad-parameter",
            "give falling_object, ebike_in",
        ),
        (
            "/api/v1/alarms?state=open",
            400,
            "bad-parameter",
            "raised, acknowledged or closed",
        ),
        (
            "/api/v1/alarms?limit=0",
            400,
            "bad-parameter",
            "a number from 1 to 200",
        ),
        (
            "/api/v1/alarms?limit=201",
            400,
            "bad-parameter",
            "a number from 1 to 200",
        ),
        (
            "/api/v1/alarms?limit=ten",
            400,
            "bad-parameter",
            "a number from 1 to 200",
        ),
        (
            "/api/v1/alarms?min_score=NaN",
            400,
            "bad-parameter",
            "a number from 0 to 1",
        ),
        (
            "/api/v1/alarms?min_score=1.1",
            400,
            "bad-parameter",
            "a number from 0 to 1",
        ),
        (
            "/api/v1/alarms?from=yesterday",
            400,
            "bad-parameter",
            "2026-01-31T18:00:00+08:00",
        ),
        (
            "/api/v1/alarms?site=a%27%20OR%201=1--",
            400,
            "bad-parameter",
            "1 to 64 letters",
        ),
        (
            "/api/v1/alarms?cursor=%27;DROP",
            400,
            "bad-cursor",
            "next_cursor",
        ),
        ("/api/v1/alarms/7", 400, "bad-id", "a UUID such as"),
        (
            "/api/v1/alarms/stream?since=-1",
            400,
            "bad-parameter",
            "or 0 for all",
        ),
        (
            "/api/v1/deliveries?state=pending",
            400,
            "bad-parameter",
            "give dead",
        ),
        (
            "/api/v1/cameras/south",
            404,
            "not-found",
            "no camera \"south\"",
        ),
        (
            "/api/v1/cameras/north/snapshot.jpg",
            404,
            "no-picture",
            "/api/v1/cameras/north",
        ),
        ("/api/v2/alarms", 404, "no-route", "/openapi.json"),
        (&alarm, 404, "not-found", NO_ALARM),
        (&retry, 405, "method-not-allowed", "Allow header"),
    ];
    for (path, status, slug, hint) in cases {
        let problem = refusal(service.get(path), status, slug).await;
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(hint), "{path}: {detail}");
        assert_eq!(problem["instance"], path.split('?').next().expect("a path"));
        assert!(problem["title"].is_string());
    }
    refusal(service.post(&retry), 404, "not-found").await;
    refusal(service.post("/api/v1/deliveries/7/retry"), 400, "bad-id").await;
    let malformed = service
        .get("/api/v1/alarms/stream")
        .header("last-event-id", "seven");
    refusal(malformed, 400, "bad-header").await;
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let service = Service::start().await;
    for (method, path, allowed) in [
        (Method::DELETE, "/api/v1/alarms", "GET,HEAD"),
        (Method::PUT, "/healthz", "GET,HEAD"),
        (
            Method::GET,
            &format!("/api/v1/alarms/{NO_ALARM}/close") as &str,
            "POST",
        ),
    ] {
        let response = service
            .request(method, path)
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(response.headers()["allow"], allowed, "{path}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
    }
}

#[tokio::test]
async fn a_body_that_does_not_fit_is_refused() {
    let service = Service::start().await;
    let id = service.raise(&fall(MORNING_MS)).await;
    let close = || service.post(&format!("/api/v1/alarms/{id}/close"));
    let json = |body: &str| {
        close()
            .header("content-type", "application/json")
            .body(body.to_owned())
    };
    let plain = close()
        .header("content-type", "text/plain")
        .body("{\"disposition\":\"test\"}");
    refusal(plain, 415, "wrong-content-type").await;
    refusal(close(), 415, "wrong-content-type").await;
    let large = format!(
        "{{\"disposition\":\"test\",\"note\":\"{}\"}}",
        "x".repeat(20_000)
    );
    let problem = refusal(json(&large), 413, "body-too-large").await;
    assert!(
        problem["detail"]
            .as_str()
            .expect("text")
            .contains("16384 bytes"),
        "{problem}"
    );
    for (body, hint) in [
        ("", "EOF"),
        (
            "{\"disposition\":\"maybe\"}",
            "expected one of `confirmed`, `false_alarm`",
        ),
        (
            "{\"disposition\":\"test\",\"nota\":\"x\"}",
            "unknown field `nota`",
        ),
        ("{\"note\":\"x\"}", "missing field `disposition`"),
        ("[1]", "disposition"),
    ] {
        let problem = refusal(json(body), 400, "bad-body").await;
        let detail = problem["detail"].as_str().expect("text");
        assert!(
            detail.contains(hint) || hint == "disposition",
            "{body}: {detail}"
        );
    }
    let note = "梯".repeat(2001);
    let long = close().json(&serde_json::json!({ "disposition": "test", "note": note }));
    refusal(long, 400, "bad-body").await;
    let alarm = service.json(&format!("/api/v1/alarms/{id}")).await;
    assert_eq!(
        alarm["state"], "raised",
        "nothing that was refused may change anything"
    );
}

#[tokio::test]
async fn a_name_that_was_rebound_to_this_machine_gets_nothing() {
    let service = Service::start().await;
    let from = |host: &str| service.get("/api/v1/alarms").header("host", host);
    refusal(from("evil.example"), 421, "foreign-host").await;
    for own in ["localhost:1234", "plumb.example"] {
        let response = from(own).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{own}");
    }
    // Probes come by whatever name a network gives the machine, and show nothing.
    let probe = service
        .get("/healthz")
        .header("host", "plumb-1.cluster.internal");
    assert_eq!(
        probe.send().await.expect("an answer").status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let service = Service::start().await;
    let id = service.raise(&fall(MORNING_MS)).await;
    let acknowledge = || service.post(&format!("/api/v1/alarms/{id}/acknowledge"));
    refusal(
        acknowledge().header("origin", "http://evil.example"),
        403,
        "foreign-origin",
    )
    .await;
    refusal(
        acknowledge().header("origin", "null"),
        403,
        "foreign-origin",
    )
    .await;
    let alarm = service.json(&format!("/api/v1/alarms/{id}")).await;
    assert_eq!(alarm["state"], "raised");
    let own = acknowledge()
        .header("origin", &service.url)
        .send()
        .await
        .expect("an answer");
    assert_eq!(own.status(), StatusCode::OK);
}

#[tokio::test]
async fn more_requests_than_the_bound_are_sent_away() {
    let limits = Limits {
        requests: 0,
        ..Limits::default()
    };
    let service = Service::start_within(limits).await;
    let response = service
        .get("/api/v1/alarms")
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.headers()["retry-after"], "1");
    refusal(service.get("/api/v1/alarms"), 503, "busy").await;
    assert_eq!(service.json("/healthz").await["status"], "alive");
}

#[tokio::test]
async fn a_body_that_never_comes_runs_into_the_timeout() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let limits = Limits {
        request: Duration::from_millis(50),
        ..Limits::default()
    };
    let service = Service::start_within(limits).await;
    let id = service.raise(&fall(MORNING_MS)).await;
    let address = service.url.strip_prefix("http://").expect("a URL");
    let mut slow = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let head = format!(
        "POST /api/v1/alarms/{id}/close HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        service.token
    );
    slow.write_all(head.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    let read = slow.read_to_string(&mut answer);
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("an answer")
        .expect("text");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("urn:plumb:problem:timeout"), "{answer}");
}
