//! Takes the cameras' reports: commits alarms, has evidence written, notes what became of it.
//!
//! One task for all cameras: commits are serial anyway, and a camera's reports stay in order.
//! Evidence is written beside it, two at a time, on threads that yield to the facades': it never delays
//! an alarm.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::camera::{Report, WallTimes};
use super::pace::yield_to_facades;
use crate::alarm::Alarm;
use crate::deliver::Alarms;
use crate::evidence::EvidenceJob;
use crate::evidence::room::Room;
use crate::id::AlarmId;
use crate::store::{AlarmEnd, EvidenceReport, EvidenceState, NewAlarm};

/// Reports that may wait; beyond it the cameras' threads wait, and their packets queue.
pub const REPORTS_MAX: usize = 256;

/// Evidence written at a time: JPEG encoding takes a core, the cameras need the others.
const WRITERS: usize = 2;

/// Where evidence goes and alarms are committed.
#[derive(Clone)]
pub struct Recorder {
    pub alarms: Alarms,
    pub evidence_root: PathBuf,
    pub room: Room,
}

impl Recorder {
    /// Works until all cameras have hung up and all evidence is written.
    pub async fn run(self, mut reports: mpsc::Receiver<Report>) {
        let permits = Arc::new(Semaphore::new(WRITERS));
        // Bounded by the open alarms of all cameras, three jobs each.
        let mut writing = JoinSet::new();
        while let Some(report) = reports.recv().await {
            match report {
                Report::Raised {
                    id,
                    camera,
                    alarm,
                    times,
                    scene_sha256,
                } => {
                    let new = NewAlarm {
                        id,
                        camera: camera.id.clone(),
                        site: camera.site.clone(),
                        place: camera.place.clone(),
                        started_at_ms: times.started_at.as_millisecond(),
                        raised_at_ms: times.raised_at.as_millisecond(),
                        alarm,
                        scene_sha256,
                    };
                    self.raise(&new).await;
                }
                Report::Ended { id, alarm, times } => self.end(id, alarm, times).await,
                Report::NoEvidence { id, reason } => self.attach(id, missing(reason)).await,
                Report::Evidence(job) => {
                    let (recorder, permits) = (self.clone(), Arc::clone(&permits));
                    writing.spawn(async move {
                        let _permit = permits.acquire().await;
                        recorder.write(job).await;
                    });
                }
            }
            while writing.try_join_next().is_some() {}
        }
        while writing.join_next().await.is_some() {}
    }

    async fn raise(&self, new: &NewAlarm) {
        if let Err(failure) = self.alarms.raise(new).await {
            error!(alarm.id = %new.id, camera.id = %new.camera, error = &failure as &dyn std::error::Error, "an alarm could neither be stored nor sent");
        }
    }

    async fn end(&self, id: AlarmId, alarm: Alarm, times: WallTimes) {
        let ended_at = times.ended_at.unwrap_or(times.raised_at);
        let end = AlarmEnd {
            id,
            ended_at_ms: ended_at.as_millisecond(),
            alarm,
        };
        if let Err(failure) = self.alarms.end(&end).await {
            error!(alarm.id = %id, error = &failure as &dyn std::error::Error, "an alarm's end could not be stored");
        }
    }

    async fn write(&self, job: EvidenceJob) {
        let (id, seals, root) = (job.alarm(), job.seals(), self.evidence_root.clone());
        if let Some(reason) = self.room.lacks(&root) {
            warn!(alarm.id = %id, reason, "evidence is not written");
            if seals {
                self.attach(id, missing(reason)).await;
            }
            return;
        }
        let written = beside(move || job.write(&root)).await;
        let report = match written {
            Ok(Ok(evidence)) => {
                let reasons: Vec<_> = evidence
                    .missing
                    .iter()
                    .map(|file| format!("{}: {}", file.name, file.reason))
                    .collect();
                EvidenceReport {
                    state: if seals {
                        EvidenceState::Ready
                    } else {
                        EvidenceState::Pending
                    },
                    folder: Some(evidence.folder.to_string_lossy().into_owned()),
                    files: evidence.files,
                    reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
                }
            }
            Ok(Err(failure)) => {
                warn!(alarm.id = %id, error = &failure as &dyn std::error::Error, "evidence could not be written");
                missing(failure.to_string())
            }
            Err(failure) => {
                error!(alarm.id = %id, error = &failure as &dyn std::error::Error, "writing evidence failed");
                missing("writing it failed inside the program; see the log".to_owned())
            }
        };
        // Pictures that fail early may still come with the last job.
        if seals || report.state != EvidenceState::Missing {
            self.attach(id, report).await;
        }
    }

    async fn attach(&self, id: AlarmId, report: EvidenceReport) {
        if let Err(failure) = self.alarms.attach_evidence(id, &report).await {
            error!(alarm.id = %id, error = &failure as &dyn std::error::Error, "an alarm's evidence could not be noted");
        }
    }
}

/// Why work beside the cameras was not done.
#[derive(Debug, thiserror::Error)]
enum Undone {
    #[error("no thread could be started for it")]
    Thread(#[from] std::io::Error),
    #[error("it panicked")]
    Panicked(#[from] oneshot::error::RecvError),
}

/// Works on a thread of its own, for its priority goes with it: pictures take a core for a tenth of a
/// second just when other cameras see the same moment and look back.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Undone> {
    let (done, waits) = oneshot::channel();
    let thread = std::thread::Builder::new().name("evidence".to_owned());
    thread.spawn(move || {
        yield_to_facades();
        // Whoever asked may have gone.
        done.send(work()).ok();
    })?;
    Ok(waits.await?)
}

fn missing(reason: String) -> EvidenceReport {
    EvidenceReport {
        state: EvidenceState::Missing,
        folder: None,
        files: Vec::new(),
        reason: Some(reason),
    }
}
