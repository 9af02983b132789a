//! The commands' outputs and exit codes that other programs depend on.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use super::{Home, Receiver, Service, file_camera, fixture, plumb, rtsp_camera};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn replay_prints_the_same_bytes_twice() {
    for (kind, name) in [
        ("facade", "facade_mirror"),
        ("elevator", "elevator_ebike_ride"),
    ] {
        let clip = fixture(name).with_extension("mp4").display().to_string();
        let scene = fixture(name)
            .with_extension("scene.toml")
            .display()
            .to_string();
        let alarms = || {
            let replayed = plumb(&["replay", &clip, "--kind", kind, "--scene", &scene, "--json"]);
            assert_eq!(replayed.status.code(), Some(0), "{replayed:?}");
            let lines = text(&replayed.stdout);
            let summary: Value =
                serde_json::from_str(lines.lines().last().expect("a summary")).expect("JSON");
            let (record, frames) = (&summary["record"], summary["frames"].as_u64());
            assert_eq!(record, "summary");
            assert!(frames > Some(100), "{summary}");
            let alarms: Vec<_> = lines
                .lines()
                .filter(|line| line.contains("\"record\":\"alarm\""))
                .collect();
            assert_eq!(summary["alarms"], alarms.len());
            alarms.join("\n")
        };
        let first = alarms();
        assert!(!first.is_empty(), "{name} holds an alarm");
        assert_eq!(first, alarms(), "{name}");
    }
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scene = folder.path().join("scene.toml");
    fs::write(&scene, "[facade]\nfloors = \"many\"\n").expect("writable");
    let scene = scene.display().to_string();
    let clip = fixture("facade_mirror.mp4").display().to_string();
    for (arguments, code, says) in [
        (
            &["replay", "nowhere.mp4", "--kind", "facade"][..],
            1,
            "nowhere.mp4",
        ),
        (&["replay", "nowhere.mp4"], 2, "--kind"),
        (
            &["replay", &clip, "--kind", "facade", "--scene", &scene],
            2,
            "scene.toml:2",
        ),
        (
            &["replay", &clip, "--kind", "facade", "--scene", "no.toml"],
            2,
            "no.toml",
        ),
        (&["run", "--config", "nowhere.toml"], 2, "nowhere.toml"),
        (&["check", "--config", "nowhere.toml"], 2, "nowhere.toml"),
        (&["verify", "nowhere"], 1, "nowhere"),
    ] {
        let ended = plumb(arguments);
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {ended:?}");
        assert!(
            text(&ended.stderr).contains(says),
            "{arguments:?}: {}",
            text(&ended.stderr)
        );
    }
}

#[test]
fn accounts_and_tokens_are_looked_after_beside_a_running_service() {
    let home = Home::new(&[file_camera("mirror", "facade_mirror")], &[]);
    let service = home.run();
    let data_dir = home.path("data").display().to_string();
    let in_dir = |arguments: &[&str]| {
        let ran = plumb(&[arguments, &["--data-dir", &data_dir]].concat());
        assert!(ran.status.success(), "{arguments:?}: {}", text(&ran.stderr));
        text(&ran.stdout)
    };
    let told = in_dir(&["user", "add", "li.na", "--role", "operator"]);
    assert!(told.contains("one-time password of li.na"), "{told}");
    let token = in_dir(&["token", "add", "second", "--role", "auditor"]);
    // The service takes it at once, and the log is one chain by both.
    let second = Service {
        token: token.trim().to_owned(),
        ..service
    };
    let rows = second.get("/api/v1/audit?action=token.added");
    assert_eq!(rows["rows"][0]["object"], "second", "{rows}");
    in_dir(&["token", "revoke", "second"]);
    in_dir(&["user", "disable", "li.na"]);
    // Of the configuration nothing else matters: a camera's scene may be gone.
    let config = fs::read_to_string(home.path("plumb.toml")).expect("it was written");
    let broken = config.replace("[[camera]]", "[[camera]]\nnobody_knows = 1");
    fs::write(home.path("plumb.toml"), broken).expect("writable");
    let listed = plumb(&["user", "list", "--config", &home.config()]);
    assert!(text(&listed.stdout).contains("disabled"), "{listed:?}");
    assert_eq!(second.stop(), Some(0));
    let log = plumb(&["audit", "verify", "--data-dir", &data_dir]);
    assert!(log.status.success(), "{}", text(&log.stdout));
}

#[test]
fn port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let home = Home::new(&[file_camera("mirror", "facade_mirror")], &[]);
    let config = fs::read_to_string(home.path("plumb.toml")).expect("it was written");
    fs::write(
        home.path("plumb.toml"),
        config.replace("127.0.0.1:0", &address),
    )
    .expect("writable");
    let ended = plumb(&["run", "--config", &home.config()]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        text(&ended.stderr).contains(&address),
        "{}",
        text(&ended.stderr)
    );
}

#[test]
fn check_says_per_line_what_is_wrong() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("bound")
        .port();
    let receiver = Receiver::start(0);
    let scene = fixture("facade_mirror.scene.toml");
    let dead = rtsp_camera(
        "dead",
        "facade",
        &format!("rtsp://127.0.0.1:{nobody}/x"),
        &scene,
    );
    let home = Home::new(
        &[file_camera("good", "facade_mirror"), dead],
        &[receiver.port, nobody],
    );
    let checked = plumb(&["check", "--config", &home.config()]);
    let said = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    for expected in [
        "ok    models:",
        "ok    data_dir",
        "ok    camera good: H264 1280x720",
        "FAIL  camera dead:",
        "ok    endpoint receiver-0: answered 204",
        "FAIL  endpoint receiver-1:",
    ] {
        assert!(said.contains(expected), "{expected} is missing in:\n{said}");
    }
    receiver.wait_for("plumb.test", |_| true);
}

#[test]
fn bench_prints_every_figure() {
    let clip = fixture("facade_mirror.mp4").display().to_string();
    let measured = plumb(&[
        "bench",
        "--kind",
        "facade",
        "--clip",
        &clip,
        "--streams",
        "1",
        "--seconds",
        "2",
        "--json",
    ]);
    let figures: Value = serde_json::from_slice(&measured.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&measured.stderr)));
    for key in [
        "fps_per_stream",
        "cpu_s_per_stream_s",
        "decode_cpu_s_per_stream_s",
        "cpu_ratio_to_decode",
        "live_decode_cpu_s_per_stream_s",
        "cpu_ratio_to_live_decode",
        "rss_mib",
    ] {
        assert!(figures[key].as_f64() > Some(0.0), "{key} in {figures}");
    }
    assert!(figures["latency_ms"]["p99"].as_f64() >= figures["latency_ms"]["p50"].as_f64());
    assert_eq!(figures["streams"], 1);
    assert!(figures["frames_dropped"].is_u64());
    assert!(figures["alarms"].is_u64());
    assert_eq!(
        figures["looks_per_stream_s"], 0.0,
        "a facade has no detector"
    );
    assert!(figures["alarm_delay_ms"]["p99"].is_f64());
}

#[test]
fn bench_finds_the_most_streams_up_to_a_bound() {
    let clip = fixture("elevator_passengers.mp4").display().to_string();
    let searched = plumb(&[
        "bench",
        "--kind",
        "elevator",
        "--clip",
        &clip,
        "--find-limit",
        "--streams",
        "2",
        "--seconds",
        "2",
        "--json",
    ]);
    let found: Value = serde_json::from_slice(&searched.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&searched.stderr)));
    let steps = found["steps"].as_array().expect("a list");
    assert_eq!(steps[0]["streams"], 1, "{found}");
    // A machine that is busy otherwise may bear fewer.
    let limit = found["limit_streams"].as_u64().expect("a number");
    assert!(limit <= 2, "{found}");
    assert_eq!(found["is_bound"], limit == 2, "{found}");
    if limit > 0 {
        assert_eq!(found["figures"]["streams"], limit, "{found}");
    }
    let is_borne = |step: &Value| step["too_much"].is_null();
    assert_eq!(is_borne(&steps[0]), limit > 0, "{found}");
}

#[test]
fn the_first_start_tells_a_password_once_and_the_command_line_looks_after_accounts() {
    let home = Home::new(&[file_camera("mirror", "facade_mirror")], &[]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_plumb"));
    command.args(["run", "--config", &home.config()]);
    let running = super::Running::start(&mut command, super::From::Stdout);
    let told = running.wait_for("password", |line| {
        line.strip_prefix("    ")
            .map(|password| password.trim().to_owned())
    });
    assert_eq!(told.len(), 23, "{told}");
    let config = home.config();
    let user = |arguments: &[&str]| {
        let mut all = vec!["user"];
        all.extend(arguments);
        all.extend(["--config", &config]);
        let ended = plumb(&all);
        (
            ended.status.code(),
            text(&ended.stdout) + &text(&ended.stderr),
        )
    };
    let (code, said) = user(&["list"]);
    assert_eq!(code, Some(0), "also while the service runs: {said}");
    assert!(said.contains("admin"), "{said}");
    drop(running);

    assert!(user(&["list"]).1.contains("admin"));
    let (code, said) = user(&["add", "li.na", "--role", "operator", "--role", "auditor"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot be operator and auditor"), "{said}");
    assert_eq!(user(&["add", "li.na", "--role", "operator"]).0, Some(0));
    assert_eq!(user(&["disable", "admin"]).0, Some(1), "the only admin");
    assert_eq!(user(&["role", "li.na", "manager", "admin"]).0, Some(0));
    assert_eq!(user(&["disable", "admin"]).0, Some(0));
    let (_, said) = user(&["passwd", "li.na"]);
    assert!(said.starts_with("one-time password of li.na: "), "{said}");
    let (_, list) = user(&["list"]);
    assert!(
        list.contains("disabled") && list.contains("manager, admin"),
        "{list}"
    );
    assert!(!list.contains("argon2"), "{list}");
}
