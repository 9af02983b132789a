//! One camera's trouble, a receiver's trouble and the disk's trouble stay their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Home, Receiver, file_camera, fixture, rtsp_camera};
use crate::cameras::Cameras;

#[test]
fn alarms_of_two_cameras_arrive_though_the_third_dies() {
    let clip = |name: &str| fixture(name).with_extension("mp4").display().to_string();
    let scene = |name: &str| fixture(name).with_extension("scene.toml");
    let living = Cameras::serve(
        &[
            format!("mirror={}", clip("facade_mirror")),
            format!("night={}", clip("facade_night_fall")),
        ],
        &[],
    );
    let dying = Cameras::serve(&[format!("birds={}", clip("facade_birds"))], &[]);
    let receiver = Receiver::start(0);
    let home = Home::new(
        &[
            rtsp_camera(
                "mirror",
                "facade",
                &living.url("", "mirror"),
                &scene("facade_mirror"),
            ),
            rtsp_camera(
                "night",
                "facade",
                &living.url("", "night"),
                &scene("facade_night_fall"),
            ),
            rtsp_camera(
                "birds",
                "facade",
                &dying.url("", "birds"),
                &scene("facade_birds"),
            ),
        ],
        &[receiver.port],
    );
    let service = home.run();
    service.wait_until("/api/v1/cameras/birds", |camera| {
        (camera["health"]["frames"].as_u64()? > 10).then_some(())
    });
    drop(dying);
    service.wait_until("/api/v1/cameras/birds", |camera| {
        (camera["health"]["link"] == "offline").then_some(())
    });

    let mut missing = vec!["mirror", "night"];
    receiver.wait_for("alarm.raised", |alarm| {
        assert_ne!(
            alarm["camera"], "birds",
            "birds are no falling objects: {alarm}"
        );
        if alarm["kind"] == "falling_object" {
            missing.retain(|camera| alarm["camera"] != *camera);
        }
        missing.is_empty()
    });
    let fault = receiver.wait_for("alarm.raised", |alarm| alarm["kind"] == "no_picture");
    assert_eq!(fault["camera"], "birds");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn alarm_arrives_though_its_evidence_cannot_be_kept() {
    let receiver = Receiver::start(0);
    let home = Home::new(&[file_camera("mirror", "facade_mirror")], &[receiver.port]);
    fs::create_dir(home.path("data")).expect("writable");
    // Nothing can be written below a file, not even by root.
    fs::write(home.path("data/evidence"), "in the way").expect("writable");
    let service = home.run();
    let raised = receiver.wait_for("alarm.raised", |alarm| alarm["kind"] == "falling_object");
    let told = receiver.wait_for("alarm.evidence", |alarm| alarm["id"] == raised["id"]);
    assert_eq!(told["evidence"], "missing");
    let reason = told["evidence_reason"].as_str().expect("a reason");
    assert!(reason.contains("evidence"), "{reason}");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn evidence_that_cannot_be_kept_for_a_while_costs_no_alarm_and_comes_again() {
    let receiver = Receiver::start(0);
    let home = Home::new(&[file_camera("mirror", "facade_mirror")], &[receiver.port]);
    let service = home.run();
    let told = |wanted: &'static str| {
        receiver.wait_for("alarm.evidence", |alarm| alarm["evidence"] == wanted)
    };
    told("ready");
    // Somebody takes the folder away while the service runs, and later gives it back.
    let (evidence, aside) = (home.path("data/evidence"), home.path("aside"));
    fs::rename(&evidence, &aside).expect("ours");
    fs::write(&evidence, "in the way").expect("writable");
    let lost = told("missing");
    let reason = lost["evidence_reason"].as_str().expect("a reason");
    assert!(reason.contains("evidence"), "{reason}");
    fs::remove_file(&evidence).expect("ours");
    fs::rename(&aside, &evidence).expect("ours");
    let again = receiver.wait_for("alarm.raised", |alarm| alarm["id"] != lost["id"]);
    assert_eq!(again["stored"], true, "{again}");
    told("ready");
    // Every alarm of the meantime is in the store.
    assert!(
        service
            .alarm_ids()
            .contains(lost["id"].as_str().expect("an id"))
    );
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn alarm_arrives_though_the_data_directory_takes_nothing() {
    let receiver = Receiver::start(0);
    let home = Home::new(&[file_camera("mirror", "facade_mirror")], &[receiver.port]);
    let config = fs::read_to_string(home.path("plumb.toml")).expect("it was written");
    // A folder in which not even root can write.
    let config = config.replace("data_dir = \"data\"", "data_dir = \"/proc/plumb\"");
    fs::write(home.path("plumb.toml"), config).expect("writable");
    let service = home.run();
    let raised = receiver.wait_for("alarm.raised", |alarm| alarm["kind"] == "falling_object");
    assert_eq!(raised["stored"], false, "{raised}");
    assert_eq!(raised["evidence"], "missing", "{raised}");
    let ready = service.get("/readyz");
    assert!(ready.to_string().contains("in memory only"), "{ready}");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn alarms_arrive_though_no_file_may_grow_any_further() {
    let receiver = Receiver::start(0);
    let home = Home::new(&[file_camera("mirror", "facade_mirror")], &[receiver.port]);
    // Some alarms fit into the database's log; a clip and more do not.
    let service = home.run_within(512 * 1024);
    let mut kept = Vec::new();
    let unkept = receiver.wait_for("alarm.raised", |alarm| {
        assert_eq!(alarm["kind"], "falling_object", "{alarm}");
        if alarm["stored"] == true {
            kept.push(alarm["id"].clone());
        }
        alarm["stored"] == false
    });
    assert_eq!(unkept["evidence"], "missing", "{unkept}");
    // They go on to arrive, one after the other.
    for _ in 0..2 {
        receiver.wait_for("alarm.raised", |alarm| alarm["stored"] == false);
    }
    assert_eq!(service.stop(), Some(0));
    // With room again all that were stored are still there, and nothing is damaged.
    let service = home.run();
    let ids = service.alarm_ids();
    for id in &kept {
        assert!(ids.contains(id.as_str().expect("an id")), "{id}");
    }
    receiver.wait_for("alarm.raised", |alarm| alarm["stored"] == true);
    assert_eq!(service.stop(), Some(0));
    let data = home.path("data").display().to_string();
    let audit = super::plumb(&["audit", "verify", "--data-dir", &data]);
    assert_eq!(audit.status.code(), Some(0), "{audit:?}");
}

#[test]
fn what_the_service_writes_is_for_its_owner_alone() {
    let receiver = Receiver::start(0);
    let home = Home::new(&[file_camera("mirror", "facade_mirror")], &[receiver.port]);
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    // Of a version that left it to the umask.
    fs::create_dir(home.path("data")).expect("writable");
    fs::set_permissions(home.path("data"), fs::Permissions::from_mode(0o755)).expect("ours");
    let service = home.run();
    receiver.wait_for("alarm.evidence", |alarm| alarm["evidence"] == "ready");
    assert_eq!(service.stop(), Some(0));
    assert_eq!(mode(&home.path("data")) & 0o007, 0);
    let mut folders = vec![home.path("data")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            assert_eq!(
                mode(&path) & 0o077,
                0,
                "{} is for its owner",
                path.display()
            );
            if path.is_dir() {
                folders.push(path);
            } else {
                files += 1;
            }
        }
    }
    assert!(files > 6, "{files} files");
}

#[test]
fn evidence_is_served_and_verifies_offline() {
    let receiver = Receiver::start(0);
    let home = Home::new(&[file_camera("mirror", "facade_mirror")], &[receiver.port]);
    let service = home.run();
    let raised = receiver.wait_for("alarm.raised", |alarm| alarm["kind"] == "falling_object");
    let id = raised["id"].as_str().expect("an id").to_owned();
    // Stopping closes the clip early, and says so; everything else is as always.
    let told = receiver.wait_for("alarm.evidence", |alarm| alarm["id"] == id.as_str());
    assert_eq!(told["evidence"], "ready", "{told}");
    assert_eq!(service.stop(), Some(0));
    let days = fs::read_dir(home.path("data/evidence")).expect("a folder");
    let day = days
        .map(|day| day.expect("readable").path())
        .next()
        .expect("a day");
    let folder = day.join(&id).display().to_string();
    let verified = super::plumb(&["verify", &folder]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    for name in ["clip.mp4", "snapshot.jpg", "strobe.jpg", "manifest.json"] {
        assert!(day.join(&id).join(name).is_file(), "{name} is missing");
    }
    fs::write(day.join(&id).join("snapshot.jpg"), "another picture").expect("writable");
    assert_eq!(super::plumb(&["verify", &folder]).status.code(), Some(1));
}
