//! kill -9 of the service: what was committed arrives, whatever the moment.

use std::collections::BTreeSet;

use super::{Home, Receiver, file_camera};

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
