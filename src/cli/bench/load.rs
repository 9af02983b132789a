//! The load of a bench: the clip, the configuration that plays it N times, and what is noted of
//! each frame.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::{Activity, Args, usage};
use crate::cli::fixtures::{self, Expected};
use crate::clock::StreamTime;
use crate::config::Config;
use crate::decode::Decoder;
use crate::evidence::clip;
use crate::scene::Kind;
use crate::source::Packet;
use crate::source::file::Recording;

/// Bare decoding is measured over this much CPU time at least.
const DECODE_CPU: Duration = Duration::from_secs(2);

/// How many streams there are where nobody says.
pub(super) const STREAMS: u32 = 4;

/// What the streams play, in a folder of its own.
pub(super) struct Load {
    folder: PathBuf,
    clip: PathBuf,
    scene: Option<PathBuf>,
    kind: Kind,
    streams: u32,
}

impl Load {
    /// Finds or makes the clip. Fails when there is none or it cannot be read.
    pub(super) fn prepare(args: &Args, kind: Kind) -> anyhow::Result<Self> {
        let (clip, scene, expected) = match &args.clip {
            Some(clip) => (clip.clone(), None, Vec::new()),
            None => {
                let name = match kind {
                    Kind::Facade => "facade_day_fall",
                    Kind::Elevator => "elevator_ebike_ride",
                };
                let fixture = fixtures::read(&fixtures::folder(args.fixtures.as_deref())?, name)?;
                (fixture.clip, Some(fixture.scene), fixture.truth.alarm)
            }
        };
        let folder = std::env::temp_dir().join(format!("plumb-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let clip = match args.activity {
            Activity::Busy => std::path::absolute(clip)?,
            Activity::Quiet => quiet_group(&clip, kind, &expected, &folder)?,
        };
        let scene = scene.map(std::path::absolute).transpose()?;
        Ok(Self {
            folder,
            clip,
            scene,
            kind,
            streams: args.streams.unwrap_or(STREAMS),
        })
    }

    /// Returns the CPU seconds that FFmpeg alone needs for a second of the clip.
    pub(super) fn decode_cost(&self) -> anyhow::Result<f64> {
        let (packets, mut recording) = (read(&self.clip)?, Recording::open(&self.clip)?);
        let length_s = length_s(&packets, recording.duration_s());
        let began = usage::thread_cpu();
        let mut rounds = 0_u32;
        while usage::thread_cpu() - began < DECODE_CPU {
            let mut decoder = Decoder::open(recording.info())?;
            for packet in &packets {
                decoder.push(packet, drop);
            }
            decoder.finish(drop);
            rounds += 1;
        }
        drop(recording.next_packet());
        Ok((usage::thread_cpu() - began).as_secs_f64() / (f64::from(rounds) * length_s))
    }

    /// Returns the service's configuration: N cameras that play the clip, and one receiver.
    pub(super) fn config(&self, receiver: SocketAddr) -> anyhow::Result<Config> {
        let mut text = String::from(
            "data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[site]]\nid = \"bench\"\n",
        );
        for index in 0..self.streams {
            text += &format!(
                "[[camera]]\nid = \"camera-{index}\"\nsite = \"bench\"\nkind = \"{}\"\nurl = {:?}\n",
                self.kind,
                format!("file:{}", self.clip.display())
            );
            if let Some(scene) = &self.scene {
                text += &format!("scene = {:?}\n", scene.display().to_string());
            }
        }
        std::fs::write(
            self.folder.join("secret"),
            "whsec_cGx1bWIgYmVuY2ggcGx1bWIgYmVuY2ggcGx1bWI=",
        )?;
        text += &format!(
            "[[endpoint]]\nid = \"bench\"\nurl = \"http://{receiver}/\"\nsecret_file = \"secret\"\n"
        );
        let path = self.folder.join("plumb.toml");
        std::fs::write(&path, text)?;
        Ok(Config::read(&path)?)
    }

    /// Removes what the bench wrote.
    pub(super) fn remove(&self) {
        // A folder that stays is harmless; it lies where temporary files do.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn read(clip: &Path) -> anyhow::Result<Vec<Packet>> {
    let mut recording = Recording::open(clip)?;
    let mut packets = Vec::new();
    while let Some(packet) = recording.next_packet()? {
        packets.push(packet);
    }
    anyhow::ensure!(
        packets.len() > 1,
        "{} holds fewer than two pictures",
        clip.display()
    );
    Ok(packets)
}

fn length_s(packets: &[Packet], claimed_s: Option<f64>) -> f64 {
    let last = packets
        .iter()
        .map(|packet| packet.at)
        .max()
        .unwrap_or(StreamTime::ZERO);
    let shown_s = last.as_secs_f64() * packets.len() as f64 / (packets.len() as f64 - 1.0);
    claimed_s
        .filter(|claimed_s| *claimed_s > 0.0)
        .unwrap_or(shown_s)
}

/// A clip on which nothing happens goes on for so long before it begins anew.
const QUIET_S: f64 = 60.0;

/// Writes one group of the clip's pictures, over and over on one timeline, as a clip of its own and
/// returns its path: a facade's first, for what falls hardly shows in a packet's size, and of a car
/// the one in which least moves and no e-bike is.
fn quiet_group(
    clip: &Path,
    kind: Kind,
    expected: &[Expected],
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let info = Arc::clone(Recording::open(clip)?.info());
    let packets = read(clip)?;
    let path = folder.join("quiet.mp4");
    let group = match kind {
        Kind::Facade => packets.chunk_by(|_, next| !next.key).next(),
        Kind::Elevator => quietest(&packets, expected),
    };
    let packets = repeated(group.unwrap_or(&packets));
    let until = packets.iter().map(|packet| packet.at).max();
    let until = until.unwrap_or(StreamTime::ZERO);
    clip::write(&path, &info, &packets, StreamTime::ZERO, until)?;
    Ok(path)
}

/// Returns the group of pictures whose other pictures are smallest on average, of those that have
/// nothing to do with an expected alarm.
fn quietest<'p>(packets: &'p [Packet], expected: &[Expected]) -> Option<&'p [Packet]> {
    let groups = packets.chunk_by(|_, next| !next.key);
    let mean_bytes = |group: &[Packet]| {
        let bytes: usize = group[1..].iter().map(|packet| packet.data.len()).sum();
        bytes / (group.len() - 1).max(1)
    };
    let is_free = |group: &[Packet]| {
        let at_s = |packet: Option<&Packet>| packet.map_or(0.0, |packet| packet.at.as_secs_f64());
        let (from_s, to_s) = (at_s(group.first()), at_s(group.last()));
        !expected.iter().any(|alarm| alarm.is_within(from_s, to_s))
    };
    // A recording's last group may be a stump.
    let length = groups.clone().map(<[Packet]>::len).max().unwrap_or(0);
    groups
        .filter(|group| group.len() > 1 && 2 * group.len() >= length && is_free(group))
        .min_by_key(|group| mean_bytes(group))
}

/// Returns the group of pictures for [`QUIET_S`], each round right after the one before.
fn repeated(group: &[Packet]) -> Vec<Packet> {
    let begins_us = group[0].at.as_micros();
    let moved =
        |at: StreamTime, by_us: i64| StreamTime::from_micros(at.as_micros() - begins_us + by_us);
    let last_us = group.iter().map(|packet| packet.at.as_micros()).max();
    let pictures = i64::try_from(group.len()).unwrap_or(i64::MAX);
    let length_us = (last_us.unwrap_or(0) - begins_us) * pictures / (pictures - 1).max(1);
    let rounds = (0_u32..).map(|round| i64::from(round) * length_us.max(1));
    let rounds = rounds.take_while(|by_us| StreamTime::from_micros(*by_us).as_secs_f64() < QUIET_S);
    rounds
        .flat_map(|by_us| {
            group.iter().map(move |packet| Packet {
                at: moved(packet.at, by_us),
                decode_at: moved(packet.decode_at, by_us),
                ..packet.clone()
            })
        })
        .collect()
}
