//! Gathers one camera's packets and frames around its alarms, within bounds.
//!
//! Lives on the camera's thread: never blocks, never touches the disk, copies no pixel and no
//! packet. What it hands out as [`EvidenceJob`] does that elsewhere.

use std::collections::VecDeque;
use std::mem;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::manifest::ModelRecord;
use super::{Evidence, EvidenceError};
use crate::alarm::{Alarm, AlarmKind};
use crate::clock::StreamTime;
use crate::decode::Cutout;
use crate::id::{AlarmId, CameraId, SiteId};
use crate::scene::facade::FacadeScene;
use crate::source::{Packet, StreamInfo};

/// The clip's length on each side of the raising.
pub const ROLL: Duration = Duration::from_secs(10);

/// Alarms of one camera whose clips are open at once. A ninth gets no evidence and says so.
pub const OPEN_MAX: usize = 8;

/// Encoded bytes held for one alarm; a 4K camera at 16 Mbit/s needs 40 MB. Beyond it the clip is
/// cut and says so.
const CLIP_BYTES_MAX: usize = 96 << 20;

/// Packets held for one alarm: 30 s at 120 frames a second.
const CLIP_PACKETS_MAX: usize = 3_600;

/// What all evidence of one camera has in common.
#[derive(Clone, Debug)]
pub struct EvidenceContext {
    pub camera: CameraId,
    pub site: Option<SiteId>,
    /// The models that this camera's alarms rest on.
    pub models: Vec<ModelRecord>,
    /// SHA-256 of the scene file.
    pub scene_sha256: Option<String>,
    /// Floor lines for the strobe picture.
    pub facade: Option<FacadeScene>,
}

/// An alarm that was just raised, and what is at hand of it.
#[derive(Debug)]
pub struct Raised<'a> {
    pub id: AlarmId,
    /// Wall time of raising; names the day's folder.
    pub raised_at: Timestamp,
    pub alarm: &'a Alarm,
    /// As `AlarmChange::Raised` gives them.
    pub frames: &'a [Cutout],
    /// The packet ring's content, oldest first: this timeline's packets before this moment.
    pub pre_roll: Vec<Packet>,
}

/// One camera's open alarms.
#[derive(Debug)]
pub struct Collector {
    context: Arc<EvidenceContext>,
    info: Option<Arc<StreamInfo>>,
    /// At most [`OPEN_MAX`].
    open: VecDeque<Open>,
}

#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
    alarm: Alarm,
    /// Kept until the alarm ends or its clip closes, at most the 16 of `AlarmChange::Raised`.
    frames: Vec<Cutout>,
    packets: Vec<Packet>,
    bytes: usize,
    until: StreamTime,
    /// Monotonic time of the newest packet, to close when none come any more.
    fed_at: Option<Duration>,
}

impl Collector {
    /// Returns a collector without a timeline.
    pub fn new(context: Arc<EvidenceContext>) -> Self {
        Self {
            context,
            info: None,
            open: VecDeque::new(),
        }
    }

    /// Says what the evidence of later alarms has in common; alarms that are open keep theirs.
    pub fn set_context(&mut self, context: Arc<EvidenceContext>) {
        self.context = context;
    }

    /// Begins a timeline. Clips that are open are cut here and go to `ready`.
    pub fn start(&mut self, info: Arc<StreamInfo>, ready: &mut Vec<EvidenceJob>) {
        self.close_all("the stream began anew", ready);
        self.info = Some(info);
    }

    /// Adds the newest packet to the open clips; those that are complete go to `ready`.
    /// `now` is the clock's monotonic time.
    pub fn packet(&mut self, packet: &Packet, now: Duration, ready: &mut Vec<EvidenceJob>) {
        let mut index = 0;
        while let Some(open) = self.open.get_mut(index) {
            match open.take(packet, now) {
                Taken::Kept => index += 1,
                Taken::Complete => self.close(index, None, ready),
                Taken::Full => {
                    let cut = format!(
                        "the clip reached its bound of {} MiB or {CLIP_PACKETS_MAX} pictures",
                        CLIP_BYTES_MAX >> 20
                    );
                    self.close(index, Some(cut), ready);
                }
            }
        }
    }

    /// Closes the clips to which no packet came for 10 s. Call it about once a second, also while
    /// nothing arrives.
    pub fn tick(&mut self, now: Duration, ready: &mut Vec<EvidenceJob>) {
        let mut index = 0;
        while let Some(open) = self.open.get_mut(index) {
            let fed_at = *open.fed_at.get_or_insert(now);
            if now.saturating_sub(fed_at) >= ROLL {
                let cut = "the camera sent nothing more".to_owned();
                self.close(index, Some(cut), ready);
            } else {
                index += 1;
            }
        }
    }

    /// Opens an alarm's evidence and returns the job that writes its pictures now.
    /// Fails when [`OPEN_MAX`] others are open; the alarm then has none.
    pub fn raised(&mut self, raised: Raised<'_>) -> Result<EvidenceJob, EvidenceError> {
        if self.open.len() >= OPEN_MAX {
            return Err(EvidenceError::TooMany {
                camera: self.context.camera.clone(),
                open: self.open.len(),
            });
        }
        self.learn_size(raised.frames.last());
        let alarm = raised.alarm.clone();
        let shared = Arc::new(Shared {
            id: raised.id,
            raised_at: raised.raised_at,
            context: Arc::clone(&self.context),
            pictures: Mutex::new(Some(Pictures {
                alarm: alarm.clone(),
                frames: raised.frames.to_vec(),
            })),
            folder: Mutex::default(),
        });
        self.open.push_back(Open {
            shared: Arc::clone(&shared),
            until: alarm.raised_at + ROLL,
            alarm,
            frames: raised.frames.to_vec(),
            bytes: raised.pre_roll.iter().map(|packet| packet.data.len()).sum(),
            packets: raised.pre_roll,
            fed_at: None,
        });
        Ok(EvidenceJob { shared, seal: None })
    }

    /// Notes how an alarm ended and returns the job that makes its pictures better.
    /// None when its clip has closed already: sealed evidence stays as it is.
    pub fn ended(&mut self, id: AlarmId, alarm: &Alarm, frames: &[Cutout]) -> Option<EvidenceJob> {
        let open = self.open.iter_mut().find(|open| open.shared.id == id)?;
        open.alarm = alarm.clone();
        let mut all = mem::take(&mut open.frames);
        if frames.is_empty() && !draws_track(alarm.kind) {
            return None;
        }
        // The best picture stays last: it is the one that decided.
        let best = all.pop();
        all.extend(frames.iter().cloned());
        all.extend(best);
        let shared = Arc::clone(&open.shared);
        *lock(&shared.pictures) = Some(Pictures {
            alarm: alarm.clone(),
            frames: all,
        });
        Some(EvidenceJob { shared, seal: None })
    }

    /// Closes all clips, as the timeline or the service ends.
    pub fn finish(&mut self, reason: &str, ready: &mut Vec<EvidenceJob>) {
        self.close_all(reason, ready);
        self.info = None;
    }

    /// Takes the picture's size from a frame where the stream's description lacks it; MP4 needs it.
    fn learn_size(&mut self, frame: Option<&Cutout>) {
        let (Some(info), Some(frame)) = (&mut self.info, frame) else {
            return;
        };
        if info.width_px == 0 || info.height_px == 0 {
            let info = Arc::make_mut(info);
            (info.width_px, info.height_px) = frame.size_px();
        }
    }

    fn close_all(&mut self, reason: &str, ready: &mut Vec<EvidenceJob>) {
        while !self.open.is_empty() {
            self.close(0, Some(reason.to_owned()), ready);
        }
    }

    fn close(&mut self, index: usize, cut: Option<String>, ready: &mut Vec<EvidenceJob>) {
        let Some(open) = self.open.remove(index) else {
            return;
        };
        ready.push(EvidenceJob {
            shared: open.shared,
            seal: Some(Seal {
                info: self.info.clone(),
                from: open.alarm.raised_at - ROLL,
                to: open.until,
                alarm: open.alarm,
                packets: open.packets,
                cut,
            }),
        });
    }
}

enum Taken {
    Kept,
    Complete,
    Full,
}

impl Open {
    fn take(&mut self, packet: &Packet, now: Duration) -> Taken {
        self.fed_at = Some(now);
        // Decoding order: what is decoded after the end is shown after it as well.
        if packet.decode_at > self.until {
            return Taken::Complete;
        }
        if self.bytes + packet.data.len() > CLIP_BYTES_MAX || self.packets.len() >= CLIP_PACKETS_MAX
        {
            return Taken::Full;
        }
        self.bytes += packet.data.len();
        self.packets.push(packet.clone());
        Taken::Kept
    }
}

/// Returns whether an alarm of this kind gets a strobe picture.
pub(super) fn draws_track(kind: AlarmKind) -> bool {
    kind == AlarmKind::FallingObject
}

/// Work on one alarm's evidence, ready for the blocking pool. Cheap to hold: it shares what it needs.
#[derive(Debug)]
pub struct EvidenceJob {
    pub(super) shared: Arc<Shared>,
    pub(super) seal: Option<Seal>,
}

impl EvidenceJob {
    /// Returns the alarm it belongs to.
    pub fn alarm(&self) -> AlarmId {
        self.shared.id
    }

    /// Returns whether this is the alarm's last job, which writes the clip and the manifest.
    pub fn seals(&self) -> bool {
        self.seal.is_some()
    }

    /// Writes below `root` what is due and returns all that is there. Blocks on encoding and disk.
    /// Fails when the folder or the manifest cannot be written, naming path and reason.
    pub fn write(&self, root: &Path) -> Result<Evidence, EvidenceError> {
        super::write::write(&self.shared, self.seal.as_ref(), root)
    }
}

/// What the jobs of one alarm share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: AlarmId,
    pub(super) raised_at: Timestamp,
    pub(super) context: Arc<EvidenceContext>,
    /// The newest pictures not yet drawn; held for a moment only.
    pub(super) pictures: Mutex<Option<Pictures>>,
    /// What is on disk; held by the job that writes, never by the camera's thread.
    pub(super) folder: Mutex<super::write::FolderState>,
}

#[derive(Debug)]
pub(super) struct Pictures {
    pub(super) alarm: Alarm,
    pub(super) frames: Vec<Cutout>,
}

#[derive(Debug)]
pub(super) struct Seal {
    pub(super) info: Option<Arc<StreamInfo>>,
    pub(super) alarm: Alarm,
    pub(super) packets: Vec<Packet>,
    pub(super) from: StreamTime,
    pub(super) to: StreamTime,
    pub(super) cut: Option<String>,
}

/// Locks; a panic elsewhere leaves a list of files at worst one short, which is still usable.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
