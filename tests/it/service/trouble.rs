//! One camera's trouble, a receiver's trouble and the disk's trouble stay their own.

use std::fs;

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
