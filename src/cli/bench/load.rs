//! The load of a bench: the clip, the configuration that plays it N times, and what is noted of
//! each frame.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::{Activity, Args};
use crate::cli::fixtures::{self, Expected};
use crate::clock::StreamTime;
use crate::config::Config;
use crate::evidence::clip;
use crate::scene::Kind;
use crate::source::Packet;
use crate::source::file::Recording;

/// How many streams there are where nobody says.
pub(super) const STREAMS: u32 = 4;

/// What the streams play, in a folder of its own.
pub(super) struct Load {
    folder: PathBuf,
    /// One for each of the moments at which streams begin to play it; stream n plays the n-th, and so on
    /// from the first.
    clips: Vec<PathBuf>,
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
        let streams = args.streams.unwrap_or(STREAMS);
        let clips = match args.activity {
            Activity::Busy if args.in_step => vec![std::path::absolute(clip)?],
            Activity::Busy => out_of_step(&clip, streams, &folder)?,
            Activity::Quiet => vec![quiet_group(&clip, kind, &expected, &folder)?],
        };
        let scene = scene.map(std::path::absolute).transpose()?;
        Ok(Self {
            folder,
            clips,
            scene,
            kind,
            streams,
        })
    }

    /// Returns the clip; where there are several, all are as long and hold the same pictures in another
    /// order.
    pub(super) fn clip(&self) -> &Path {
        &self.clips[0]
    }

    /// Returns the service's configuration: N cameras that play the clip, and one receiver.
    pub(super) fn config(&self, receiver: SocketAddr) -> anyhow::Result<Config> {
        let mut text = String::from(
            "data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[site]]\nid = \"bench\"\n",
        );
        for (index, clip) in (0..self.streams).zip(self.clips.iter().cycle()) {
            text += &format!(
                "[[camera]]\nid = \"camera-{index}\"\nsite = \"bench\"\nkind = \"{}\"\nurl = {:?}\n",
                self.kind,
                format!("file:{}", clip.display())
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

/// Returns the clip's packets. Fails when it cannot be read, or hardly holds any.
pub(super) fn read(clip: &Path) -> anyhow::Result<Vec<Packet>> {
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

/// Returns how long the packets' pictures are shown, seconds.
pub(super) fn length_s(packets: &[Packet], claimed_s: Option<f64>) -> f64 {
    let times = || packets.iter().map(|packet| packet.at);
    let (first, last) = (times().min(), times().max());
    let apart_s = last
        .unwrap_or(StreamTime::ZERO)
        .secs_since(first.unwrap_or(StreamTime::ZERO));
    // The last picture is shown as long as the others.
    let shown_s = apart_s * packets.len() as f64 / (packets.len() as f64 - 1.0).max(1.0);
    claimed_s
        .filter(|claimed_s| *claimed_s > 0.0)
        .unwrap_or(shown_s)
}

/// In how many steps the streams of a bench come one after the other.
const STEPS_MAX: u32 = 8;

/// Writes the clip once for each of the moments at which streams are to begin it, and returns the paths:
/// before and after it stands what its first group of pictures shows, as long in all as that is, so that
/// they stay apart over every round. Cameras do not see the same fall at the same moment.
fn out_of_step(clip: &Path, streams: u32, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let info = Arc::clone(Recording::open(clip)?.info());
    let packets = read(clip)?;
    let group = packets.chunk_by(|_, next| !next.key).next();
    let group = group.unwrap_or(&packets);
    let steps = streams.clamp(1, STEPS_MAX);
    let mut paths = Vec::new();
    for step in 0..steps {
        let before = group.len() * step as usize / steps as usize;
        let pieces = [&group[..before], &packets, &group[..group.len() - before]];
        let path = folder.join(format!("step-{step}.mp4"));
        let joined = joined(pieces.into_iter());
        let until = joined.iter().map(|packet| packet.at).max();
        let until = until.unwrap_or(StreamTime::ZERO);
        clip::write(&path, &info, &joined, StreamTime::ZERO, until)?;
        paths.push(path);
    }
    Ok(paths)
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
    let rounds = (QUIET_S / length_s(group, None).max(0.01)).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "6,000 at most"
    )]
    joined(std::iter::repeat_n(group, rounds as usize))
}

/// Returns the pieces on one timeline from nought on, each right after the one before.
fn joined<'p>(pieces: impl Iterator<Item = &'p [Packet]>) -> Vec<Packet> {
    let mut all = Vec::new();
    let mut begins_us = 0;
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        let by_us = begins_us - piece[0].at.as_micros();
        let moved = |at: StreamTime| StreamTime::from_micros(at.as_micros() + by_us);
        all.extend(piece.iter().map(|packet| Packet {
            at: moved(packet.at),
            decode_at: moved(packet.decode_at),
            ..packet.clone()
        }));
        begins_us += StreamTime::from_secs_f64(length_s(piece, None))
            .as_micros()
            .max(1);
    }
    all
}
