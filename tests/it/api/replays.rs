//! Replays through the API, with stages that do what the test says.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use plumb::evidence::clip::ClipSpan;
use plumb::evidence::manifest::{AlarmRecord, FORMAT, Manifest, ModelRecord};
use plumb::http::{ReplayOrder, ReplayOutcome, ReplayedAlarm, Replayer};
use plumb::scene::Kind;
use plumb::store::{EvidenceFile, EvidenceReport, EvidenceState, ReplayModel, SceneText};
use serde_json::json;

use super::*;

const DAY: &str = "2026-01-31";
const SCENE: &str = "[facade]\nfloors = 20\nstorey_height_m = 3.0\n";

/// Stages that answer what they are told to.
#[derive(Debug, Default)]
pub(super) struct Scripted {
    /// While true a replay goes on until it is told to stop.
    hold: AtomicBool,
    alarms: Mutex<Vec<Alarm>>,
    orders: Mutex<Vec<ReplayOrder>>,
}

impl Replayer for Scripted {
    fn models(&self, _: Kind) -> Vec<ReplayModel> {
        vec![ReplayModel {
            name: "verifier".to_owned(),
            sha256: "ab".repeat(32),
        }]
    }

    fn replay(
        &self,
        order: &ReplayOrder,
        go_on: &mut dyn FnMut(f64) -> bool,
    ) -> Result<ReplayOutcome, String> {
        self.orders
            .lock()
            .expect("not poisoned")
            .push(order.clone());
        let mut is_whole = go_on(0.5);
        while is_whole && self.hold.load(Ordering::Relaxed) {
            std::thread::yield_now();
            is_whole = go_on(0.5);
        }
        let alarms = self.alarms.lock().expect("not poisoned").clone();
        let found = |alarm: Alarm| ReplayedAlarm {
            raised: alarm.clone(),
            alarm,
            cut: false,
        };
        Ok(ReplayOutcome {
            alarms: alarms.into_iter().map(found).collect(),
            frames: 500,
            duration_s: 20.0,
            wall_s: 1.0,
            is_whole,
        })
    }
}

/// An auditor's client of a service.
struct Auditor {
    service: Service,
    token: String,
}

impl Auditor {
    async fn new() -> Self {
        let service = Service::start().await;
        let token = add_token(&service.store, "auditing", Role::Auditor).await;
        Self { service, token }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.service.url);
        self.service.stranger.get(url).bearer_auth(&self.token)
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let url = format!("{}{path}", self.service.url);
        let request = self.service.stranger.post(url).bearer_auth(&self.token);
        request.json(body)
    }

    async fn begin(&self, body: &Value) -> i64 {
        let answer = self.post("/api/v1/replays", body).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let begun: Value = answer.json().await.expect("JSON");
        begun["id"].as_i64().expect("a number")
    }

    async fn ended(&self, id: i64) -> Value {
        let clock = SystemClock::new();
        loop {
            let answer = self.get(&format!("/api/v1/replays/{id}")).send().await;
            let replay: Value = answer.expect("an answer").json().await.expect("JSON");
            if replay["state"] != "running" {
                return replay;
            }
            assert!(clock.monotonic() < PATIENCE, "{replay}");
            tokio::task::yield_now().await;
        }
    }

    /// Raises a fall with evidence on the disk; `change` may spoil the manifest before it is sealed.
    async fn fall(&self, change: impl FnOnce(&mut Manifest)) -> (AlarmId, PathBuf) {
        let mut new = fall(MORNING_MS);
        let id = new.id;
        let root = self.service.evidence_root();
        let folder = format!("{DAY}/{id}");
        let mut files = Vec::new();
        let mut put = |name: &str, bytes: &[u8]| {
            let sha256 = write_evidence(&root, &folder, name, bytes);
            files.push(EvidenceFile {
                name: name.to_owned(),
                media_type: "application/octet-stream".to_owned(),
                size_bytes: bytes.len() as u64,
                sha256: sha256.clone(),
            });
            sha256
        };
        put("clip.mp4", b"a clip");
        let scene = digest(SCENE);
        new.scene_sha256 = Some(scene.clone());
        new.alarm.ended_at = Some(StreamTime::from_secs_f64(9.0));
        let at = Timestamp::from_millisecond(MORNING_MS).expect("in range");
        let mut manifest = Manifest {
            format: FORMAT.to_owned(),
            plumb_version: "0.0.9".to_owned(),
            alarm: AlarmRecord::new(id, at, &new.alarm),
            camera: new.camera.clone(),
            site: None,
            stream: None,
            models: vec![ModelRecord {
                name: "verifier".to_owned(),
                sha256: "ab".repeat(32),
            }],
            scene_sha256: Some(scene),
            clip: Some(ClipSpan {
                starts_at_s: 2.0,
                ends_at_s: 18.0,
                pictures: 400,
                cut: None,
            }),
            files: files.clone(),
            missing: Vec::new(),
            manifest_sha256: String::new(),
        };
        change(&mut manifest);
        let bytes = manifest.to_bytes();
        let sha256 = write_evidence(&root, &folder, "manifest.json", &bytes);
        files.push(EvidenceFile {
            name: "manifest.json".to_owned(),
            media_type: "application/json".to_owned(),
            size_bytes: bytes.len() as u64,
            sha256,
        });
        self.service.raise(&new).await;
        let text = SceneText {
            sha256: &digest(SCENE),
            text: SCENE,
        };
        let noted = self.service.store.note_scene(&new.camera, Some(text)).await;
        noted.expect("it is committed");
        let report = EvidenceReport {
            state: EvidenceState::Ready,
            folder: Some(folder.clone()),
            files,
            reason: None,
        };
        let attached = self.service.store.attach_evidence(id, &report).await;
        attached.expect("it is committed");
        (id, root.join(folder))
    }

    fn script(&self, alarms: Vec<Alarm>) {
        *self.service.replayer.alarms.lock().expect("not poisoned") = alarms;
    }

    async fn actions(&self) -> Vec<String> {
        let rows = self.service.store.audit_after(0, 500).await;
        let rows = rows.expect("readable").into_iter();
        rows.map(|row| {
            format!(
                "{} {} {}",
                row.who,
                row.action,
                row.detail.unwrap_or_default()
            )
        })
        .collect()
    }
}

fn digest(text: &str) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ended_fall() -> Alarm {
    let mut alarm = fall(MORNING_MS).alarm;
    alarm.ended_at = Some(StreamTime::from_secs_f64(9.0));
    alarm
}

#[tokio::test]
async fn an_alarm_is_replayed_as_it_was_judged_and_compared() {
    let auditor = Auditor::new().await;
    let (id, folder) = auditor.fall(|_| {}).await;
    auditor.script(vec![ended_fall()]);
    let number = auditor.begin(&json!({"alarm": id.to_string()})).await;
    let replay = auditor.ended(number).await;
    assert_eq!(
        (&replay["state"], &replay["verdict"]),
        (&json!("done"), &json!("same")),
        "{replay}"
    );
    let order = auditor
        .service
        .replayer
        .orders
        .lock()
        .expect("not poisoned")[0]
        .clone();
    assert_eq!(order.clip, folder.join("clip.mp4"));
    assert_eq!(order.starts_at, StreamTime::from_secs_f64(2.0));
    assert_eq!(order.scene.facade.expect("a facade").floors, 20);
    // Something else comes out: it says what, and that the run before gave another answer.
    let mut other = ended_fall();
    other.score = 0.2;
    auditor.script(vec![other]);
    let again = auditor.begin(&json!({"alarm": id.to_string()})).await;
    let replay = auditor.ended(again).await;
    assert_eq!(replay["verdict"], "differs", "{replay}");
    let rows = replay["result"]["comparison"]["rows"].as_array();
    let score = rows
        .expect("rows")
        .iter()
        .find(|row| row["part"] == "score");
    assert_eq!(score.expect("compared")["agreement"], "beyond");
    assert_eq!(
        replay["result"]["before"],
        json!({"id": number, "same": false})
    );
    auditor.script(Vec::new());
    let gone = auditor.begin(&json!({"alarm": id.to_string()})).await;
    assert_eq!(auditor.ended(gone).await["verdict"], "not_found");
    let actions = auditor.actions().await;
    for wanted in [
        format!("token:auditing replay.begun replay {number} of camera north"),
        format!("plumb replay.ended replay {number}: same"),
        format!("plumb replay.ended replay {again}: differs"),
    ] {
        assert!(actions.contains(&wanted), "{wanted}: {actions:?}");
    }
}

#[tokio::test]
async fn what_is_not_what_was_recorded_is_not_replayed() {
    let auditor = Auditor::new().await;
    type Case = (&'static str, fn(&mut Manifest), fn(&Path));
    let cases: [Case; 5] = [
        (
            "decided by the model verifier with SHA-256 cdcdcdcdcdcd",
            |m| m.models[0].sha256 = "cd".repeat(32),
            |_| {},
        ),
        (
            "does not name the model verifier",
            |m| m.models.clear(),
            |_| {},
        ),
        (
            "clip.mp4 is not as it was",
            |_| {},
            |folder| std::fs::write(folder.join("clip.mp4"), "b clip").expect("writable"),
        ),
        (
            "judged by a scene with SHA-256 efefefefefef",
            |m| m.scene_sha256 = Some("ef".repeat(32)),
            |_| {},
        ),
        ("the evidence has no clip", |m| m.clip = None, |_| {}),
    ];
    for (told, spoil, after) in cases {
        let (id, folder) = auditor.fall(spoil).await;
        after(&folder);
        let number = auditor.begin(&json!({"alarm": id.to_string()})).await;
        let replay = auditor.ended(number).await;
        assert_eq!(replay["state"], "failed");
        let reason = replay["reason"].as_str().expect("a reason");
        assert!(reason.contains(told), "{told}: {reason}");
    }
    // A manifest that is whole in itself, but not the one that was recorded.
    let (id, folder) = auditor.fall(|_| {}).await;
    let text = std::fs::read_to_string(folder.join("manifest.json")).expect("readable");
    let mut manifest: Manifest = serde_json::from_str(&text).expect("a manifest");
    manifest.alarm.score = 0.1;
    std::fs::write(folder.join("manifest.json"), manifest.to_bytes()).expect("writable");
    let number = auditor.begin(&json!({"alarm": id.to_string()})).await;
    let replay = auditor.ended(number).await;
    let reason = replay["reason"].as_str().expect("a reason");
    assert!(reason.contains("not the one that was recorded"), "{reason}");
    let orders = auditor
        .service
        .replayer
        .orders
        .lock()
        .expect("not poisoned")
        .len();
    assert_eq!(orders, 0, "nothing of all that was run");
}

#[tokio::test]
async fn one_at_a_time_and_it_can_be_cancelled() {
    let auditor = Auditor::new().await;
    let (id, _) = auditor.fall(|_| {}).await;
    let body = json!({"alarm": id.to_string()});
    auditor.service.replayer.hold.store(true, Ordering::Relaxed);
    let number = auditor.begin(&body).await;
    let second = auditor.post("/api/v1/replays", &body);
    let problem = refusal(second, 409, "conflict").await;
    assert!(
        problem["detail"]
            .as_str()
            .expect("text")
            .contains("one at a time")
    );
    let cancelled = auditor.post(&format!("/api/v1/replays/{number}/cancel"), &json!({}));
    assert!(
        cancelled
            .send()
            .await
            .expect("an answer")
            .status()
            .is_success()
    );
    assert_eq!(auditor.ended(number).await["state"], "cancelled");
    let late = auditor.post(&format!("/api/v1/replays/{number}/cancel"), &json!({}));
    refusal(late, 409, "conflict").await;
    auditor
        .service
        .replayer
        .hold
        .store(false, Ordering::Relaxed);
    let next = auditor.begin(&body).await;
    assert_eq!(auditor.ended(next).await["state"], "done");
}

#[tokio::test]
async fn only_listed_recordings_are_replayed() {
    let auditor = Auditor::new().await;
    let folder = auditor.service.folder.path().join("recordings");
    std::fs::create_dir_all(folder.join("below")).expect("a folder");
    std::fs::write(folder.join("gate.mp4"), "a recording").expect("writable");
    std::fs::write(folder.join("below/secret.mp4"), "x").expect("writable");
    std::fs::write(auditor.service.folder.path().join("secret.mp4"), "x").expect("writable");
    std::os::unix::fs::symlink("../secret.mp4", folder.join("link.mp4")).expect("a link");
    let listed: Value = {
        let answer = auditor.get("/api/v1/recordings").send().await;
        answer.expect("an answer").json().await.expect("JSON")
    };
    let names: Vec<_> = listed["recordings"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    assert_eq!(names.len(), 1, "{listed}");
    assert_eq!(names[0]["name"], "gate.mp4");
    for trick in [
        "../secret.mp4",
        "below/secret.mp4",
        "link.mp4",
        "below",
        "/etc/passwd",
        "gate.mp4/",
        "./gate.mp4",
        "gate.mp4\0",
        "",
    ] {
        let body = json!({"recording": trick, "camera": "north"});
        refusal(auditor.post("/api/v1/replays", &body), 404, "not-found").await;
    }
    let body = json!({"recording": "gate.mp4", "camera": "north"});
    let first = auditor.begin(&body).await;
    let replay = auditor.ended(first).await;
    assert_eq!(
        (&replay["state"], &replay["verdict"]),
        (&json!("done"), &Value::Null)
    );
    let second = auditor.begin(&body).await;
    assert_eq!(auditor.ended(second).await["verdict"], "same");
    auditor.script(vec![ended_fall()]);
    let third = auditor.begin(&body).await;
    assert_eq!(auditor.ended(third).await["verdict"], "differs");
}

#[tokio::test]
async fn a_segment_of_footage_is_replayed_with_the_scene_of_its_time() {
    let auditor = Auditor::new().await;
    let record = footage::with_segment(&auditor.service, "north", MORNING_MS).await;
    let body = json!({"footage": record.id});
    let first = auditor.begin(&body).await;
    let replay = auditor.ended(first).await;
    assert_eq!(replay["state"], "done", "{replay}");
    assert_eq!(replay["camera"], "north");
    let name = replay["recording"].as_str().expect("a name");
    assert_eq!(name, record.path.replace('/', "-"));
    let order = auditor
        .service
        .replayer
        .orders
        .lock()
        .expect("not poisoned")[0]
        .clone();
    let footage = auditor.service.folder.path().join("footage");
    let file = footage.join(&record.path);
    assert_eq!((&order.clip, order.kind), (&file, Kind::Facade));
    let second = auditor.begin(&body).await;
    assert_eq!(auditor.ended(second).await["verdict"], "same");
    let mut bytes = std::fs::read(&file).expect("it is there");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&file, bytes).expect("writable");
    let altered = auditor.begin(&body).await;
    let altered = auditor.ended(altered).await;
    assert_eq!(altered["state"], "failed", "{altered}");
    assert_eq!(altered["reason"], "the segment is not as it was recorded");
    for (body, status, slug) in [
        (json!({"footage": 4711}), 404, "not-found"),
        (
            json!({"footage": record.id, "camera": "north"}),
            400,
            "bad-body",
        ),
        (
            json!({"footage": record.id, "recording": "x"}),
            400,
            "bad-body",
        ),
    ] {
        refusal(auditor.post("/api/v1/replays", &body), status, slug).await;
    }
}

#[tokio::test]
async fn what_cannot_be_replayed_is_said_at_once() {
    let auditor = Auditor::new().await;
    let bare = auditor.service.raise(&fall(MORNING_MS)).await;
    let mut fault = fall(MORNING_MS);
    fault.alarm.kind = AlarmKind::NoPicture;
    let fault = auditor.service.raise(&fault).await;
    let nobody = AlarmId::new(Timestamp::UNIX_EPOCH);
    for (body, status, slug) in [
        (json!({"alarm": bare.to_string()}), 409, "conflict"),
        (json!({"alarm": fault.to_string()}), 409, "conflict"),
        (json!({"alarm": nobody.to_string()}), 404, "not-found"),
        (json!({"recording": "x"}), 400, "bad-body"),
        (
            json!({"recording": "x", "camera": "nowhere"}),
            404,
            "not-found",
        ),
        (
            json!({"alarm": bare.to_string(), "camera": "north"}),
            400,
            "bad-body",
        ),
        (json!({}), 400, "bad-body"),
    ] {
        refusal(auditor.post("/api/v1/replays", &body), status, slug).await;
    }
    let answer = auditor.get("/api/v1/replays").send().await;
    let list: Value = answer.expect("an answer").json().await.expect("JSON");
    assert_eq!(list["replays"], json!([]), "nothing has begun");
}
