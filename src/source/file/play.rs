//! A recording in the place of a camera: at its own pace, once or for ever.
//!
//! Reading blocks, so it happens on tokio's blocking threads; waiting for the next picture's time
//! does not. A stage that is slow costs pictures here as it does with a camera.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{FileError, Recording};
use crate::clock::Clock;
use crate::health::{Board, Link};
use crate::id::CameraId;
use crate::source::outlet::Outlet;
use crate::source::{Packet, SourceEvent};

/// Whether a recording begins again at its end; each round is a timeline of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    Once,
    #[default]
    Forever,
}

/// A recording, configured as a camera.
#[derive(Clone, Debug)]
pub struct FileCamera {
    pub id: CameraId,
    pub path: PathBuf,
    pub repeat: Repeat,
    /// How long to wait before a recording that cannot be read is tried again.
    pub retry: Duration,
}

impl FileCamera {
    /// Returns a camera that plays `path` for ever and tries again after 10 s what cannot be read.
    pub fn new(id: CameraId, path: PathBuf) -> Self {
        Self {
            id,
            path,
            repeat: Repeat::Forever,
            retry: Duration::from_secs(10),
        }
    }
}

/// Brings the recording's packets at its own pace. Ends when `stop` is cancelled, when nobody
/// receives `events` any more, or at the recording's end when it is played once. A recording that
/// cannot be read goes to `board` and the metrics as the cause `file`, and is tried again.
pub async fn run(
    camera: FileCamera,
    events: mpsc::Sender<SourceEvent>,
    board: Board,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut outlet = Outlet::new(camera.id.clone(), events.clone(), board.clone());
    board.update(&camera.id, |health| health.link = Link::Connecting);
    loop {
        let round = tokio::select! {
            () = stop.cancelled() => break,
            () = events.closed() => break,
            round = run_once(&camera, &mut outlet, &board, clock.as_ref()) => round,
        };
        let wait = match (round, camera.repeat) {
            (Ok(()), Repeat::Forever) => ROUND_WAIT,
            (Ok(()), Repeat::Once) => break,
            (Err(error), repeat) => {
                note(&camera, &board, &error);
                // What breaks off was read as far as it goes: that was the one time.
                if repeat == Repeat::Once {
                    break;
                }
                camera.retry
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = outlet.end() => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
    // Stopping must not wait for a stage that is stuck; with the sender gone it ends anyway.
    tokio::time::timeout(STOP_WAIT, outlet.end()).await.ok();
    board.update(&camera.id, |health| health.link = Link::Offline);
}

/// Between a recording's last picture and its first: it keeps one of a single picture from spinning.
const ROUND_WAIT: Duration = Duration::from_millis(40);

/// How long stopping may wait for room in the queue.
const STOP_WAIT: Duration = Duration::from_millis(500);

fn note(camera: &FileCamera, board: &Board, error: &FileError) {
    let said = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    tracing::warn!(camera.id = %camera.id, "camera {} is offline: {said}", camera.id);
    metrics::counter!(
        "plumb_source_failures_total", "camera" => camera.id.to_string(), "cause" => "file"
    )
    .increment(1);
    board.update(&camera.id, |health| {
        health.link = Link::Offline;
        health.error = Some(said);
        *health.failures.entry("file".to_owned()).or_default() += 1;
    });
}

/// Plays the recording to its end.
async fn run_once(
    camera: &FileCamera,
    outlet: &mut Outlet,
    board: &Board,
    clock: &dyn Clock,
) -> Result<(), FileError> {
    let path = camera.path.clone();
    let mut recording = blocking(move || Recording::open(&path)).await?;
    let info = Arc::clone(recording.info());
    outlet.restart();
    let mut pace = Pace::default();
    let mut ahead = Ahead::default();
    loop {
        if ahead.packets.is_empty() && !ahead.is_over {
            (recording, ahead) = blocking(move || {
                let ahead = Ahead::read(&mut recording);
                (recording, ahead)
            })
            .await;
        }
        let Some(packet) = ahead.packets.pop_front() else {
            return ahead.broke_off.map_or(Ok(()), Err);
        };
        let due = pace.due(&packet, clock.monotonic());
        tokio::time::sleep(due).await;
        board.update(&camera.id, |health| health.packets += 1);
        let captured_at: Timestamp = clock.now();
        let key = packet.key;
        outlet.offer(&info, key, || Packet {
            captured_at,
            ..packet
        });
    }
}

/// Packets read at a time: under a second, so that the thread that reads is asked seldom.
const AHEAD_MAX: usize = 16;

/// What was read and is not due yet.
#[derive(Default)]
struct Ahead {
    packets: VecDeque<Packet>,
    is_over: bool,
    /// Why there is no more, where that is not the recording's end.
    broke_off: Option<FileError>,
}

impl Ahead {
    fn read(recording: &mut Recording) -> Self {
        let mut ahead = Self::default();
        while ahead.packets.len() < AHEAD_MAX && !ahead.is_over {
            match recording.next_packet() {
                Ok(Some(packet)) => ahead.packets.push_back(packet),
                Ok(None) => ahead.is_over = true,
                Err(error) => (ahead.is_over, ahead.broke_off) = (true, Some(error)),
            }
        }
        ahead
    }
}

/// When packets are due, by decoding time.
#[derive(Debug, Default)]
struct Pace {
    /// Monotonic time and decoding time, in microseconds, of the packet that set the pace.
    from: Option<(Duration, i64)>,
}

/// Whoever falls further behind than this does not catch up in a burst but goes on from there.
const BEHIND_MAX: Duration = Duration::from_secs(1);

impl Pace {
    /// Returns how long to wait before the packet is passed on.
    fn due(&mut self, packet: &Packet, now: Duration) -> Duration {
        let decode_us = packet.decode_at.as_micros();
        let (start, start_us) = *self.from.get_or_insert((now, decode_us));
        let since_us = u64::try_from(decode_us.saturating_sub(start_us)).unwrap_or(0);
        let at = start.saturating_add(Duration::from_micros(since_us));
        if now > at + BEHIND_MAX {
            self.from = Some((now, decode_us));
        }
        at.saturating_sub(now)
    }
}

async fn blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(read).await {
        Ok(value) => value,
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        // Only the runtime's own end cancels a blocking task, and that ends this one as well.
        Err(_) => std::future::pending().await,
    }
}
