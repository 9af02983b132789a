//! The load of a bench: the clip, the configuration that plays it N times, and what is noted of
//! each frame.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::{Activity, Args, usage};
use crate::cli::fixtures;
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
        let (clip, scene) = match &args.clip {
            Some(clip) => (clip.clone(), None),
            None => {
                let name = match kind {
                    Kind::Facade => "facade_day_fall",
                    Kind::Elevator => "elevator_ebike_ride",
                };
                let fixture = fixtures::read(&fixtures::folder(args.fixtures.as_deref())?, name)?;
                (fixture.clip, Some(fixture.scene))
            }
        };
        let folder = std::env::temp_dir().join(format!("plumb-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let clip = match args.activity {
            Activity::Busy => std::path::absolute(clip)?,
            Activity::Quiet => first_group(&clip, &folder)?,
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

/// Writes the clip's first group of pictures as a clip of its own and returns its path.
fn first_group(clip: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let info = Arc::clone(Recording::open(clip)?.info());
    let packets = read(clip)?;
    let end = packets
        .iter()
        .skip(1)
        .position(|packet| packet.key)
        .map_or(packets.len(), |index| index + 1);
    let path = folder.join("quiet.mp4");
    let group = &packets[..end];
    let until = group
        .iter()
        .map(|packet| packet.at)
        .max()
        .unwrap_or(StreamTime::ZERO);
    clip::write(&path, &info, group, StreamTime::ZERO, until)?;
    Ok(path)
}
