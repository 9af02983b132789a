//! One camera's thread: packets in, reports out. Everything between is synchronous and the
//! camera's own, so that one camera's trouble, even a panic, never touches another's.
//!
//! Bounds: the packet channel (`source::rtsp` says what is dropped when it is full) and the report
//! channel (the thread waits: an alarm is never dropped). No frame is copied on the way.

use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::Watch;
use super::decoding::{Decoding, Pushed};
use super::fault::FaultWatch;
use super::rate::Rate;
use crate::alarm::{Alarm, AlarmChange, AlarmKey};
use crate::clock::{Clock, StreamTime};
use crate::config::Camera;
use crate::decode::latest::Latest;
use crate::decode::{Cutout, Device, Frame};
use crate::evidence::manifest::ModelRecord;
use crate::evidence::{Collector, EvidenceContext, EvidenceJob, Raised};
use crate::health::{Board, Threads};
use crate::http::CameraScene;
use crate::id::AlarmId;
use crate::scene::{Kind, Scene};
use crate::source::ring::Ring;
use crate::source::{Codec, Packet, SourceEvent, StreamInfo};

/// How often a camera is looked at without a frame, so that their absence is noticed.
const TICK: Duration = Duration::from_millis(500);

/// A scene that was changed waits this long for a fall that is raised to end; then the fall is ended.
const SCENE_PATIENCE: Duration = Duration::from_secs(10);

/// What a camera's thread has to say to the recorder, in order.
#[derive(Debug)]
pub enum Report {
    Raised {
        id: AlarmId,
        camera: Arc<Camera>,
        alarm: Alarm,
        times: WallTimes,
        /// Of the scene that it was judged by.
        scene_sha256: Option<String>,
    },
    Ended {
        id: AlarmId,
        alarm: Alarm,
        times: WallTimes,
    },
    Evidence(EvidenceJob),
    /// The alarm will have no evidence, and why.
    NoEvidence {
        id: AlarmId,
        reason: String,
    },
}

/// An alarm's times on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTimes {
    pub started_at: Timestamp,
    pub raised_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// All that one camera's thread works with.
pub struct CameraThread {
    pub camera: Arc<Camera>,
    /// Makes the watch: at the start, and anew should it ever panic.
    pub make_watch: Box<dyn Fn(Scene) -> Box<dyn Watch> + Send>,
    /// The scene in force, which people change while the camera runs.
    pub scene: watch::Receiver<Arc<CameraScene>>,
    /// The models that this camera's alarms rest on.
    pub models: Vec<ModelRecord>,
    pub board: Board,
    pub latest: Latest,
    /// What decodes besides the processor.
    pub device: Option<Device>,
    pub threads: Threads,
    pub clock: Arc<dyn Clock>,
    pub reports: mpsc::Sender<Report>,
    /// Called for each picture that was looked at, or need not be, with when it was captured.
    pub observer: Arc<dyn Fn(Timestamp) + Send + Sync>,
}

impl CameraThread {
    fn evidence(&self, scene: &CameraScene) -> Arc<EvidenceContext> {
        Arc::new(EvidenceContext {
            camera: self.camera.id.clone(),
            site: Some(self.camera.site.clone()),
            models: self.models.clone(),
            scene_sha256: scene.sha256.clone(),
            facade: scene.scene.facade.clone(),
        })
    }

    /// Works until the source hangs up, then ends what is raised. Runs on its own thread;
    /// `runtime` is where its channels wait.
    pub fn run(&self, mut events: mpsc::Receiver<SourceEvent>, runtime: &Handle) {
        let name = format!("camera {}", self.camera.id);
        let _alive = self.threads.enter(&name);
        let mut stages = Stages::new(self);
        loop {
            let event = match events.try_recv() {
                Ok(event) => Some(event),
                Err(mpsc::error::TryRecvError::Disconnected) => break,
                Err(mpsc::error::TryRecvError::Empty) => {
                    match runtime
                        .block_on(async { tokio::time::timeout(TICK, events.recv()).await })
                    {
                        Ok(Some(event)) => Some(event),
                        Ok(None) => break,
                        Err(_) => None,
                    }
                }
            };
            // A bug that one camera's picture brings out must not cost the others their service,
            // nor this one more than a moment.
            if panic::catch_unwind(AssertUnwindSafe(|| stages.step(event))).is_err() {
                error!(camera.id = %self.camera.id, "a stage panicked; the camera starts anew");
                self.board.update(&self.camera.id, |health| {
                    *health.failures.entry("panic".into()).or_default() += 1
                });
                stages = stages.anew();
            }
        }
        stages.finish();
        info!(camera.id = %self.camera.id, "camera stopped");
    }
}

/// Which watch an alarm came from: their keys are their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Origin {
    Scene,
    Faults,
}

/// The stages of one camera, from packet to report.
struct Stages<'a> {
    thread: &'a CameraThread,
    ring: Ring,
    decoder: Option<Decoding>,
    /// The decoder of the timeline before, between two.
    spare_decoder: Option<Decoding>,
    decode_errors: u64,
    /// Where other scenes come from, the one that is judged by, and since when another one waits.
    scenes: watch::Receiver<Arc<CameraScene>>,
    scene: Arc<CameraScene>,
    scene_waits_since: Option<Duration>,
    watch: Box<dyn Watch>,
    faults: FaultWatch,
    collector: Collector,
    /// Alarms that are raised; each watch bounds its own.
    raised: HashMap<(Origin, AlarmKey), AlarmId>,
    /// The newest frame's stream time and wall time: what ties the two clocks.
    anchor: Option<(StreamTime, Timestamp)>,
    rate: Rate,
    /// The newest picture that was counted on this timeline.
    counted_at: Option<StreamTime>,
    ticked_at: Duration,
    frames: Vec<Frame>,
    changes: Vec<AlarmChange>,
    ready: Vec<EvidenceJob>,
}

impl<'a> Stages<'a> {
    fn new(thread: &'a CameraThread) -> Self {
        let mut scenes = thread.scene.clone();
        let scene = Arc::clone(&scenes.borrow_and_update());
        Self {
            ring: Ring::default(),
            decoder: None,
            spare_decoder: None,
            decode_errors: 0,
            watch: (thread.make_watch)(scene.scene.clone()),
            faults: FaultWatch::new(thread.camera.kind),
            collector: Collector::new(thread.evidence(&scene)),
            scenes,
            scene,
            scene_waits_since: None,
            raised: HashMap::new(),
            anchor: None,
            rate: Rate::default(),
            counted_at: None,
            ticked_at: Duration::ZERO,
            frames: Vec::new(),
            changes: Vec::new(),
            ready: Vec::new(),
            thread,
        }
    }

    /// Returns fresh stages after a panic; what was raised is ended as well as is still possible.
    fn anew(mut self) -> Self {
        let mut fresh = Self::new(self.thread);
        self.collector
            .finish("the camera's stages failed", &mut fresh.ready);
        fresh.send_ready();
        if let Some(info) = self.ring.info().cloned() {
            fresh.start(&info);
        }
        fresh
    }

    fn step(&mut self, event: Option<SourceEvent>) {
        self.take_scene();
        match event {
            Some(SourceEvent::Start(info)) => self.start(&info),
            Some(SourceEvent::Packet(packet)) => self.packet(packet),
            Some(SourceEvent::End) => self.end_timeline(),
            None => {}
        }
        let now = self.thread.clock.monotonic();
        if now.saturating_sub(self.ticked_at) >= TICK {
            self.ticked_at = now;
            self.tick(now);
        }
    }

    /// Goes over to the scene that was drawn meanwhile, between two frames. A fall that is raised is
    /// measured by its own scene to its end, for which the new one waits a while.
    fn take_scene(&mut self) {
        if self.scene_waits_since.is_none() && !self.scenes.has_changed().unwrap_or(false) {
            return;
        }
        let now = self.thread.clock.monotonic();
        let since = *self.scene_waits_since.get_or_insert(now);
        let is_falling = self.thread.camera.kind == Kind::Facade
            && self
                .raised
                .keys()
                .any(|(origin, _)| *origin == Origin::Scene);
        if is_falling && now.saturating_sub(since) < SCENE_PATIENCE {
            return;
        }
        self.scene_waits_since = None;
        let scene = Arc::clone(&self.scenes.borrow_and_update());
        self.watch.set_scene(scene.scene.clone(), &mut self.changes);
        self.report(Origin::Scene);
        self.collector.set_context(self.thread.evidence(&scene));
        info!(camera.id = %self.thread.camera.id, scene.sha256 = scene.sha256, "judges by another scene");
        self.scene = scene;
        self.send_ready();
    }

    fn start(&mut self, info: &Arc<StreamInfo>) {
        self.end_timeline();
        self.ring.start(Arc::clone(info));
        self.collector.start(Arc::clone(info), &mut self.ready);
        self.decode_errors = 0;
        let decoder = match self.spare_decoder.take() {
            Some(spare) => spare.renewed(info),
            None => {
                let device = self.thread.device.as_ref();
                Decoding::open_on(device, info, self.thread.camera.kind)
            }
        };
        self.decoder = match decoder {
            Ok(decoder) => {
                if let Some(past) = decoder.past() {
                    self.watch.look_back_by(past.clone());
                }
                Some(decoder)
            }
            Err(error) => {
                warn!(camera.id = %self.thread.camera.id, error = &error as &dyn std::error::Error, "cannot decode the camera");
                self.update(|health| health.error = Some(error.to_string()));
                None
            }
        };
        let codec = match info.codec {
            Codec::H264 => "h264",
            Codec::H265 => "h265",
            Codec::Other(_) => "other",
        };
        self.update(|health| health.codec = Some(codec.to_owned()));
        self.send_ready();
    }

    fn packet(&mut self, packet: Packet) {
        let now = self.thread.clock.monotonic();
        self.collector.packet(&packet, now, &mut self.ready);
        if let Some(decoder) = &mut self.decoder {
            let pushed = decoder.push(&packet, self.watch.as_ref(), &mut self.frames);
            let counters = decoder.counters();
            let errors =
                counters.refused_packets + counters.damaged_frames + counters.unconverted_frames;
            let new_errors =
                errors.saturating_sub(std::mem::replace(&mut self.decode_errors, errors));
            if new_errors > 0 {
                self.update(|health| health.decode_errors += new_errors);
            }
            if pushed == Pushed::Held {
                self.count(packet.at, packet.captured_at);
            }
        }
        self.ring.push(packet);
        self.look();
        self.send_ready();
    }

    /// Looks at the decoded frames, in order.
    fn look(&mut self) {
        let mut frames = std::mem::take(&mut self.frames);
        for frame in frames.drain(..) {
            self.anchor = Some((frame.at, frame.captured_at));
            self.thread.latest.put(&self.thread.camera.id, &frame);
            let size_px = (frame.width_px(), frame.height_px());
            self.update(|health| (health.width_px, health.height_px) = size_px);
            self.watch.push(&frame, &mut self.changes);
            self.report(Origin::Scene);
            // One that was held back was counted when it came.
            if self.is_newest(frame.at) {
                self.faults.observe(self.watch.condition());
                self.faults.push(&frame, &mut self.changes);
                self.report(Origin::Faults);
                self.count_new(frame.at, frame.captured_at);
            }
        }
        self.frames = frames;
    }

    fn is_newest(&self, at: StreamTime) -> bool {
        self.counted_at.is_none_or(|newest| at > newest)
    }

    /// Counts a picture that is held back: the camera works.
    fn count(&mut self, at: StreamTime, captured_at: Timestamp) {
        if self.is_newest(at) {
            self.faults.held(at, captured_at);
            self.count_new(at, captured_at);
        }
    }

    fn count_new(&mut self, at: StreamTime, captured_at: Timestamp) {
        self.counted_at = Some(at);
        let fps = self.rate.count(at);
        self.update(|health| {
            health.frames += 1;
            health.fps = fps;
            health.last_frame_at_ms = Some(captured_at.as_millisecond());
        });
        (self.thread.observer)(captured_at);
    }

    fn tick(&mut self, now: Duration) {
        self.collector.tick(now, &mut self.ready);
        self.faults.tick(
            now,
            self.thread.board.camera(&self.thread.camera.id).as_ref(),
            &mut self.changes,
        );
        self.report(Origin::Faults);
        self.send_ready();
    }

    /// Ends what belongs to the timeline that is over. Faults live on: no picture is one of them.
    fn end_timeline(&mut self) {
        if let Some(mut decoder) = self.decoder.take() {
            decoder.finish(&mut self.frames);
            self.spare_decoder = Some(decoder);
            self.look();
        }
        self.watch.restart(&mut self.changes);
        self.report(Origin::Scene);
        self.rate = Rate::default();
        self.counted_at = None;
        self.thread.latest.clear(&self.thread.camera.id);
        self.update(|health| health.fps = 0.0);
    }

    fn finish(mut self) {
        self.end_timeline();
        self.faults.restart(&mut self.changes);
        self.report(Origin::Faults);
        self.collector
            .finish("the service stopped", &mut self.ready);
        self.send_ready();
    }

    /// Passes on what a watch said: ids, wall times, evidence.
    fn report(&mut self, origin: Origin) {
        for change in std::mem::take(&mut self.changes) {
            match change {
                AlarmChange::Raised { key, alarm, frames } => {
                    self.raised(origin, key, alarm, &frames)
                }
                AlarmChange::Ended { key, alarm, frames } => {
                    let Some(id) = self.raised.remove(&(origin, key)) else {
                        continue;
                    };
                    if let Some(job) = self.collector.ended(id, &alarm, &frames) {
                        self.ready.push(job);
                    }
                    let times = self.wall_times(&alarm);
                    self.send(Report::Ended { id, alarm, times });
                }
            }
        }
        let names: Vec<String> = self
            .faults
            .raised()
            .map(|kind| kind.as_str().to_owned())
            .collect();
        self.update(|health| {
            if health.faults != names {
                health.faults = names;
            }
        });
    }

    fn raised(&mut self, origin: Origin, key: AlarmKey, alarm: Alarm, frames: &[Cutout]) {
        let times = self.wall_times(&alarm);
        let id = AlarmId::new(times.raised_at);
        self.raised.insert((origin, key), id);
        info!(camera.id = %self.thread.camera.id, alarm.id = %id, alarm.kind = alarm.kind.as_str(), "alarm raised");
        let pre_roll = self
            .ring
            .since(alarm.raised_at - crate::evidence::collector::ROLL);
        let raised = Raised {
            id,
            raised_at: times.raised_at,
            alarm: &alarm,
            frames,
            pre_roll,
        };
        let evidence = self.collector.raised(raised);
        // The alarm first: its evidence is written while it is already on its way.
        self.send(Report::Raised {
            id,
            camera: Arc::clone(&self.thread.camera),
            alarm,
            times,
            scene_sha256: self.scene.sha256.clone(),
        });
        match evidence {
            Ok(job) => self.ready.push(job),
            Err(error) => self.send(Report::NoEvidence {
                id,
                reason: error.to_string(),
            }),
        }
    }

    fn wall_times(&self, alarm: &Alarm) -> WallTimes {
        let (at, wall) = self
            .anchor
            .unwrap_or((alarm.raised_at, self.thread.clock.now()));
        let on_wall = |moment: StreamTime| {
            let offset_us = moment.as_micros() - at.as_micros();
            wall.checked_add(jiff::SignedDuration::from_micros(offset_us))
                .unwrap_or(wall)
        };
        WallTimes {
            started_at: on_wall(alarm.started_at),
            raised_at: on_wall(alarm.raised_at),
            ended_at: alarm.ended_at.map(on_wall),
        }
    }

    fn send_ready(&mut self) {
        for job in std::mem::take(&mut self.ready) {
            self.send(Report::Evidence(job));
        }
    }

    /// Hands a report to the recorder, waiting while its channel is full: alarms are never dropped.
    fn send(&self, report: Report) {
        if self.thread.reports.blocking_send(report).is_err() {
            error!(camera.id = %self.thread.camera.id, "the recorder has stopped: a report is lost");
        }
    }

    fn update(&self, change: impl FnOnce(&mut crate::health::CameraHealth)) {
        self.thread.board.update(&self.thread.camera.id, change);
    }
}
