//! kill -9 of the service: what was committed arrives, whatever the moment.

use std::collections::BTreeSet;

use plumb::clock::{Clock, SystemClock};

use super::{DEADLINE, Home, Receiver, file_camera};
use crate::cameras::{H264, clip};

#[test]
fn no_committed_alarm_is_lost_over_kill_9() {
    let mut received = BTreeSet::new();
    let receiver = Receiver::start(0);
    let port = receiver.port;
    let home = Home::new(&[file_camera("mirror", "facade_mirror")], &[port]);

    // Killed while the receiver still has the first message in its hands.
    let service = home.run();
    let first = receiver.wait_for("alarm.raised", |_| true);
    service.running.signal(rustix::process::Signal::KILL);
    received.insert(first["id"].as_str().expect("an id").to_owned());
    drop(service);

    // Killed between commit and a successful send: nobody receives now.
    drop(receiver);
    let service = home.run();
    let before = service.alarm_ids();
    let unsent = service.wait_until("/api/v1/alarms?limit=200", |_| {
        service.alarm_ids().difference(&before).next().cloned()
    });
    service.running.signal(rustix::process::Signal::KILL);
    drop(service);

    // Back again: everything that was ever committed arrives.
    let receiver = Receiver::start(port);
    let service = home.run();
    let committed = service.alarm_ids();
    assert!(
        committed.contains(&unsent),
        "a committed alarm is gone: {committed:?}"
    );
    receiver.wait_for("alarm.raised", |alarm| {
        received.insert(alarm["id"].as_str().expect("an id").to_owned());
        committed.is_subset(&received)
    });
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn footage_that_was_being_written_is_whole_after_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = clip(folder.path(), "long.mp4", "320x240", 50.0, H264);
    let camera = format!(
        "[[camera]]\nid = \"long\"\nsite = \"test\"\nkind = \"facade\"\nurl = \"file:{}\"\nfootage = true\n",
        long.display()
    );
    let home = Home::new(&[camera], &[]);
    let service = home.run();
    let parts = home.path("data/footage/~parts");
    // Some groups of pictures are on the disk, and the segment is far from its end.
    let clock = SystemClock::new();
    let part = loop {
        let found = std::fs::read_dir(&parts)
            .ok()
            .and_then(|mut all| all.next());
        let path = found.map(|entry| entry.expect("readable").path());
        let bytes = path.as_ref().and_then(|path| path.metadata().ok());
        match path {
            Some(path) if bytes.is_some_and(|found| found.len() > 100_000) => break path,
            _ => assert!(clock.monotonic() < DEADLINE, "no footage is written"),
        }
        std::thread::yield_now();
    };
    service.running.signal(rustix::process::Signal::KILL);
    drop(service);
    assert!(part.exists(), "it is as the crash left it");
    let name = part
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let starts_at_ms = name.split('~').nth(1).expect("a time");
    let starts_at_ms: i64 = starts_at_ms.parse().expect("a number");

    let service = home.run();
    let path = format!("/api/v1/cameras/long/footage?from_ms={starts_at_ms}");
    let segment = service.wait_until(&path, |list| {
        let first = list["segments"].get(0)?.clone();
        (first["starts_at_ms"] == starts_at_ms).then_some(first)
    });
    let pictures = segment["pictures"].as_i64().expect("a number");
    let lasts_ms = segment["ends_at_ms"].as_i64().expect("a time")
        - segment["starts_at_ms"].as_i64().expect("a time");
    assert!(pictures >= 10, "a group at least: {segment}");
    assert_eq!(lasts_ms, pictures * 40, "each of them: {segment}");
    assert!(!part.exists());
    assert_eq!(service.stop(), Some(0));
}
