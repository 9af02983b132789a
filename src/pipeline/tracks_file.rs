//! Writes judged tracks and their patches to a folder: what the verifier is trained on.
//!
//! `tracks.jsonl` holds a line for each track; `patches.f32` the same number of patch stacks, each
//! 32 x 32 x 32 little-endian floats. Only development asks for it; a failing disk ends the writing
//! and nothing else.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::alarm::TrackPoint;
use crate::alarm::falling::point;
use crate::alarm::falling::verdict::Verdict;
use crate::clock::StreamTime;
use crate::decode::Frame;
use crate::track::accelerating::Track;
use crate::verify::cut_patches;

/// Two open files.
pub struct TracksFile {
    lines: BufWriter<File>,
    patches: BufWriter<File>,
    failed: bool,
}

/// A track and what the judge says of it.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) track: &'a Track,
    pub(super) verdict: &'a Verdict,
}

#[derive(Serialize)]
struct Line {
    track: u64,
    points: Vec<TrackPoint>,
    masses: Vec<f32>,
    contrasts: Vec<f32>,
    surprise: f64,
    accel: f64,
    evidence: f64,
    needed: f64,
    misfit: f64,
    misfit_across: f64,
    fallen_m: f64,
    px_per_m: f64,
    speed_m_s: f64,
    terminal_m_s: Option<f64>,
    against: Option<&'static str>,
    passed_judge: bool,
    doubtful: bool,
}

impl TracksFile {
    /// Opens the two files in `folder`, which is made if it is missing. Fails when they cannot be.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            lines: BufWriter::new(File::create(folder.join("tracks.jsonl"))?),
            patches: BufWriter::new(File::create(folder.join("patches.f32"))?),
            failed: false,
        })
    }

    pub(super) fn write<'f>(
        &mut self,
        judged: Judged<'_>,
        frames: impl Fn(StreamTime) -> Option<&'f Frame>,
    ) {
        if self.failed {
            return;
        }
        if let Err(error) = self.try_write(judged, frames) {
            tracing::error!(%error, "cannot write tracks any more");
            self.failed = true;
        }
    }

    fn try_write<'f>(
        &mut self,
        Judged { track, verdict }: Judged<'_>,
        frames: impl Fn(StreamTime) -> Option<&'f Frame>,
    ) -> io::Result<()> {
        let sightings = &track.sightings[verdict.first..];
        let Some(patches) = cut_patches(sightings, frames) else {
            return Ok(());
        };
        let terminal = verdict.fall.terminal_m_s;
        let line = Line {
            track: track.id.0,
            points: sightings.iter().map(point).collect(),
            masses: sightings.iter().map(|s| s.mass).collect(),
            contrasts: sightings.iter().map(|s| s.contrast).collect(),
            surprise: track.surprise,
            accel: verdict.gravities,
            evidence: verdict.evidence,
            needed: verdict.needed,
            misfit: verdict.misfit,
            misfit_across: verdict.misfit_across,
            fallen_m: verdict.fallen_m,
            px_per_m: verdict.fall.px_per_m(),
            speed_m_s: verdict.fall.speed_m_s,
            terminal_m_s: terminal.is_finite().then_some(terminal),
            against: verdict.against,
            passed_judge: verdict.is_fall(),
            doubtful: verdict.is_doubtful(),
        };
        serde_json::to_writer(&mut self.lines, &line)?;
        self.lines.write_all(b"\n")?;
        for value in &patches {
            self.patches.write_all(&value.to_le_bytes())?;
        }
        self.lines.flush()?;
        self.patches.flush()
    }
}
