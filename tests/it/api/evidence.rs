//! Evidence files: whole, in ranges, by digest; and never any other file.

use plumb::store::{EvidenceFile, EvidenceReport, EvidenceState};

use super::*;

const FOLDER: &str = "2026-01-31/one";

/// Returns an alarm with a clip of these bytes, and the clip's digest.
async fn with_clip(service: &Service, clip: &[u8], state: EvidenceState) -> (AlarmId, String) {
    let id = service.raise(&fall(MORNING_MS)).await;
    let sha256 = write_evidence(&service.evidence_root(), FOLDER, "clip.mp4", clip);
    let report = EvidenceReport {
        state,
        folder: Some(FOLDER.to_owned()),
        files: vec![EvidenceFile {
            name: "clip.mp4".to_owned(),
            media_type: "video/mp4".to_owned(),
            size_bytes: clip.len() as u64,
            sha256: sha256.clone(),
        }],
        reason: None,
    };
    service
        .store
        .attach_evidence(id, &report)
        .await
        .expect("it is committed");
    (id, sha256)
}

fn clip() -> Vec<u8> {
    (0..100_000u32)
        .map(|byte| u8::try_from(byte % 251).expect("below 251"))
        .collect()
}

#[tokio::test]
async fn a_file_comes_whole_under_its_digest() {
    let service = Service::start().await;
    let (id, sha256) = with_clip(&service, &clip(), EvidenceState::Ready).await;
    let alarm = service.json(&format!("/api/v1/alarms/{id}")).await;
    let url = alarm["files"][0]["url"].as_str().expect("a link");
    assert_eq!(url, format!("/api/v1/alarms/{id}/evidence/clip.mp4"));
    let response = service.get(url).send().await.expect("an answer");
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "video/mp4");
    assert_eq!(headers["etag"], format!("\"{sha256}\""));
    assert_eq!(headers["cache-control"], "private, no-cache");
    assert_eq!(headers["accept-ranges"], "bytes");
    assert_eq!(
        headers["content-disposition"],
        "inline; filename=\"clip.mp4\""
    );
    assert_eq!(response.bytes().await.expect("a body"), clip());
    let head = service
        .request(Method::HEAD, url)
        .send()
        .await
        .expect("an answer");
    assert_eq!(head.headers()["content-length"], "100000");
    let known = service
        .get(url)
        .header("if-none-match", format!("\"x\", \"{sha256}\""));
    let known = known.send().await.expect("an answer");
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    assert!(known.bytes().await.expect("no body").is_empty());
}

#[tokio::test]
async fn a_clip_can_be_wound() {
    let service = Service::start().await;
    let (id, sha256) = with_clip(&service, &clip(), EvidenceState::Ready).await;
    let url = format!("/api/v1/alarms/{id}/evidence/clip.mp4");
    let part = |range: &str| service.get(&url).header("range", range);
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=500-1499", 500, 1499),
        ("bytes=99990-", 99_990, 99_999),
        ("bytes=-10", 99_990, 99_999),
        ("bytes=99000-200000", 99_000, 99_999),
    ] {
        let response = part(range).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let expected = format!("bytes {first}-{last}/100000");
        assert_eq!(response.headers()["content-range"], expected, "{range}");
        assert_eq!(
            response.bytes().await.expect("a body"),
            clip()[first..=last],
            "{range}"
        );
    }
    let whole = |request: RequestBuilder| async {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.bytes().await.expect("a body").len(), 100_000);
    };
    // Ranges that a server may ignore, and a range of another file.
    whole(part("bytes=0-1,5-6")).await;
    whole(part("lines=1-2")).await;
    whole(part("bytes=0-1").header("if-range", "\"of another file\"")).await;
    let same = part("bytes=0-1").header("if-range", format!("\"{sha256}\""));
    let same = same.send().await.expect("an answer");
    assert_eq!(same.status(), StatusCode::PARTIAL_CONTENT);
    let outside = part("bytes=100000-").send().await.expect("an answer");
    assert_eq!(outside.headers()["content-range"], "bytes */100000");
    refusal(part("bytes=100000-"), 416, "range-not-satisfiable").await;
}

#[tokio::test]
async fn no_path_leads_to_another_file() {
    let service = Service::start().await;
    let (id, _) = with_clip(&service, &clip(), EvidenceState::Ready).await;
    write_evidence(
        &service.evidence_root(),
        FOLDER,
        "beside.txt",
        b"not in the store",
    );
    write_evidence(&service.evidence_root(), "", "outside.txt", b"secret");
    for name in [
        "beside.txt",
        "..%2f..%2foutside.txt",
        "%2e%2e%2foutside.txt",
        "..%5coutside.txt",
        "%2fetc%2fpasswd",
        "clip.mp4%00",
        "clip.mp4%2f..%2fbeside.txt",
        "CLIP.MP4",
    ] {
        let path = format!("/api/v1/alarms/{id}/evidence/{name}");
        refusal(service.get(&path), 404, "not-found").await;
    }
    let other = service.raise(&fall(MORNING_MS)).await;
    let path = format!("/api/v1/alarms/{other}/evidence/clip.mp4");
    refusal(service.get(&path), 404, "not-found").await;
}

#[tokio::test]
async fn a_file_that_is_gone_or_changed_is_not_passed_off_as_evidence() {
    let service = Service::start().await;
    let (id, _) = with_clip(&service, &clip(), EvidenceState::Ready).await;
    let path = format!("/api/v1/alarms/{id}/evidence/clip.mp4");
    write_evidence(&service.evidence_root(), FOLDER, "clip.mp4", b"cut");
    refusal(service.get(&path), 410, "evidence-changed").await;
    std::fs::remove_file(service.evidence_root().join(FOLDER).join("clip.mp4"))
        .expect("it is there");
    refusal(service.get(&path), 410, "evidence-gone").await;
}

#[tokio::test]
async fn an_early_picture_is_shown_without_a_digest_that_will_not_last() {
    let service = Service::start().await;
    let (id, _) = with_clip(&service, b"early", EvidenceState::Pending).await;
    write_evidence(&service.evidence_root(), FOLDER, "clip.mp4", b"better");
    let response = service
        .get(&format!("/api/v1/alarms/{id}/evidence/clip.mp4"))
        .send()
        .await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("etag"));
    assert_eq!(response.bytes().await.expect("a body").as_ref(), b"better");
}

#[tokio::test]
async fn only_with_a_reason_is_evidence_held_and_released() {
    let service = Service::start().await;
    let (id, _) = with_clip(&service, &clip(), EvidenceState::Ready).await;
    let post = |act: &str, body: Value| {
        let request = service.post(&format!("/api/v1/alarms/{id}/{act}"));
        request.json(&body)
    };
    let blank = post("hold", serde_json::json!({ "reason": "  " }));
    refusal(blank, 400, "bad-body").await;
    let early = post("release", serde_json::json!({ "reason": "x" }));
    refusal(early, 409, "conflict").await;
    let held = post("hold", serde_json::json!({ "reason": " police, case 7 " }));
    let held: Value = held
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(held["hold"]["reason"], "police, case 7");
    assert_eq!(held["hold"]["by"], "token:tests");
    let shown = service.json(&format!("/api/v1/alarms/{id}")).await;
    assert_eq!(shown["hold"], held["hold"]);
    let released = post("release", serde_json::json!({ "reason": "closed" }));
    let released: Value = released
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(released["hold"], Value::Null);
}
