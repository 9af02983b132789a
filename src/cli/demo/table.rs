//! The demo's last word: expected and received alarms with their delays.

use super::peers::{Delivery, floor};
use crate::cli::fixtures::{Expected, Fixture};
use crate::cli::output::Output;

/// An alarm may be raised this much later than it could have been, and still be the expected one.
const LATE_S: f64 = 4.0;

/// One camera of the demo: what a person expects, and what arrived.
pub(super) struct Row {
    pub(super) camera: &'static str,
    pub(super) name: &'static str,
    pub(super) fixture: Fixture,
    pub(super) arrived: Vec<Arrived>,
}

/// One alarm that arrived.
pub(super) struct Arrived {
    id: String,
    kind: String,
    floor: String,
    /// Within the clip, which the camera plays over and over.
    raised_at_s: f64,
    /// From the deciding frame's capture to the receiver.
    delay_s: f64,
    has_evidence: bool,
}

impl Row {
    /// Notes a webhook of this camera.
    pub(super) fn take(&mut self, delivery: &Delivery) {
        let Some(event) = &delivery.event else { return };
        let data = &event.data;
        let known = self
            .arrived
            .iter_mut()
            .find(|arrived| arrived.id == data.id);
        match (event.kind.as_str(), known) {
            ("alarm.raised", None) => self.arrived.push(Arrived {
                id: data.id.clone(),
                kind: data.kind.clone(),
                floor: floor(data),
                raised_at_s: data.raised_at_s.rem_euclid(self.fixture.truth.duration_s),
                delay_s: delivery.delay_s(data),
                has_evidence: false,
            }),
            ("alarm.evidence", Some(arrived)) => arrived.has_evidence = data.evidence == "ready",
            _ => {}
        }
    }

    /// Returns whether every expected alarm arrived with its evidence.
    pub(super) fn is_complete(&self) -> bool {
        let expected = &self.fixture.truth.alarm;
        expected.iter().all(|alarm| {
            self.first(alarm)
                .is_some_and(|arrived| arrived.has_evidence)
        })
    }

    fn first(&self, expected: &Expected) -> Option<&Arrived> {
        self.arrived.iter().find(|arrived| is(arrived, expected))
    }

    fn unexpected(&self) -> usize {
        let expected = &self.fixture.truth.alarm;
        self.arrived
            .iter()
            .filter(|arrived| !expected.iter().any(|alarm| is(arrived, alarm)))
            .count()
    }
}

fn is(arrived: &Arrived, expected: &Expected) -> bool {
    let late_s = arrived.raised_at_s - expected.due_at_s();
    arrived.kind == expected.kind && (-1.0..=LATE_S).contains(&late_s)
}

/// Prints the table. Fails when standard output has gone.
pub(super) fn print(rows: &[Row], out: &mut Output) -> anyhow::Result<()> {
    out.line("\ncamera                   expected            received                            after event  after frame  evidence")?;
    for row in rows {
        for expected in &row.fixture.truth.alarm {
            let line = match row.first(expected) {
                Some(arrived) => format!(
                    "{:24} {:19} {:35} {:8.2} s {:10.2} s  {}",
                    row.name,
                    expected.kind,
                    format!("{}{}", arrived.kind, arrived.floor),
                    arrived.raised_at_s - expected.due_at_s() + arrived.delay_s,
                    arrived.delay_s,
                    if arrived.has_evidence {
                        "ready"
                    } else {
                        "missing"
                    },
                ),
                None => format!("{:24} {:19} NOTHING", row.name, expected.kind),
            };
            out.line(&line)?;
            if let Some(floor) = expected.floor {
                out.line(&format!("{:24} from floor {floor}", ""))?;
            }
        }
    }
    let unexpected: usize = rows.iter().map(Row::unexpected).sum();
    out.line(&format!("\nunexpected alarms: {unexpected}"))
}
