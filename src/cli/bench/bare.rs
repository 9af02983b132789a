//! What decoding alone costs: as fast as it goes, and at the pace of cameras.
//!
//! A processor that waits for pictures is slower than one that works without a pause: its caches grow
//! cold from one picture to the next, and its clock goes down. What cameras cost can only come near
//! to the second figure.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::load::{length_s, read};
use super::usage;
use crate::clock::Clock;
use crate::decode::{DecodeError, Decoder};
use crate::source::file::Recording;
use crate::source::{Packet, StreamInfo};

/// As fast as it goes it is measured over this much CPU time at least.
const CPU_MIN: Duration = Duration::from_secs(2);

/// How long it is measured at the pace of cameras, after as long a start as a processor needs to settle.
const LIVE: Duration = Duration::from_secs(8);
const LIVE_START: Duration = Duration::from_secs(1);

/// The packets to decode, with FFmpeg's defaults.
pub(super) struct Bare {
    info: Arc<StreamInfo>,
    packets: Vec<Packet>,
    length_s: f64,
}

impl Bare {
    /// Reads the packets of a clip. Fails when it cannot be read.
    pub(super) fn of(clip: &Path) -> anyhow::Result<Self> {
        let (packets, recording) = (read(clip)?, Recording::open(clip)?);
        Ok(Self {
            info: Arc::clone(recording.info()),
            length_s: length_s(&packets, recording.duration_s()),
            packets,
        })
    }

    /// Returns the CPU seconds for a second of the clip, without a pause.
    pub(super) fn cpu_s_per_s(&self) -> anyhow::Result<f64> {
        let began = usage::thread_cpu();
        let mut rounds = 0_u32;
        while usage::thread_cpu() - began < CPU_MIN {
            let mut decoder = Decoder::open(&self.info)?;
            for packet in &self.packets {
                decoder.push(packet, drop);
            }
            decoder.finish(drop);
            rounds += 1;
        }
        Ok((usage::thread_cpu() - began).as_secs_f64() / (f64::from(rounds) * self.length_s))
    }

    /// Returns the CPU seconds for a second of each of `streams` that are decoded at the same time, each
    /// picture when a camera would send it, or as soon as the machine gets to it.
    pub(super) async fn live_cpu_s_per_s(
        self: &Arc<Self>,
        streams: u32,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<f64> {
        let pictures = u32::try_from(self.packets.len())?;
        let apart = Duration::from_secs_f64(self.length_s) / pictures;
        let decoded = Arc::new(AtomicU64::new(0));
        let play = |stream: u32| {
            let (stop, stopped) = mpsc::sync_channel::<()>(0);
            let (bare, clock, decoded) =
                (Arc::clone(self), Arc::clone(clock), Arc::clone(&decoded));
            // Cameras do not send in step.
            let late = apart * stream / streams;
            let playing =
                thread::spawn(move || bare.play(late, apart, &*clock, &stopped, &decoded));
            (stop, playing)
        };
        let playing: Vec<_> = (0..streams).map(play).collect();
        let used = || (usage::process_cpu(), decoded.load(Ordering::Relaxed));
        tokio::time::sleep(LIVE_START).await;
        let before = used();
        tokio::time::sleep(LIVE).await;
        let after = used();
        for (stop, stream) in playing {
            drop(stop);
            stream.join().expect("decoding does not panic")?;
        }
        let pictures = (after.1 - before.1).max(1);
        let played_s = pictures as f64 * apart.as_secs_f64();
        Ok((after.0 - before.0).as_secs_f64() / played_s)
    }

    /// Decodes the clip over and over, a picture every `apart` after `late`, and counts them, until nobody
    /// holds the other end of `stopped`.
    fn play(
        &self,
        late: Duration,
        apart: Duration,
        clock: &dyn Clock,
        stopped: &Receiver<()>,
        decoded: &AtomicU64,
    ) -> Result<(), DecodeError> {
        let mut decoder = Decoder::open(&self.info)?;
        let mut due = clock.monotonic() + late;
        loop {
            for packet in &self.packets {
                let wait = due.saturating_sub(clock.monotonic());
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return Ok(());
                }
                decoder.push(packet, drop);
                decoded.fetch_add(1, Ordering::Relaxed);
                due += apart;
            }
            decoder = decoder.renewed(&self.info)?;
        }
    }
}
