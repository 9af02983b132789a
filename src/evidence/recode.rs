//! Encodes pictures into a clip anew (H.264 in MP4): for what leaves the house changed. The evidence
//! itself is never encoded by Plumb; see `clip`.

use std::path::{Path, PathBuf};

use ffmpeg_next as ff;
use image::RgbImage;

use super::clip::ClipError;
use super::planar::Planar;
use super::publish;
use crate::clock::StreamTime;
use crate::source::file::quiet_libav;

/// As in `clip`: the camera's times are kept to some microseconds.
const TICKS_PER_SECOND: i32 = 90_000;
/// Quality of x264, 0 to 51: 23 is its own default; veryfast takes some 15 ms a 1080p picture.
const CRF: &str = "23";
const PRESET: &str = "veryfast";

/// A clip that is being made.
pub struct Recoder {
    path: PathBuf,
    part: PathBuf,
    output: ff::format::context::Output,
    encoder: ff::encoder::video::Encoder,
    scaler: ff::software::scaling::Context,
    rgb: ff::frame::Video,
    last_ticks: i64,
}

impl Recoder {
    /// Begins a clip at `path` of pictures of the given size; an odd row or column is left out.
    /// Fails when this FFmpeg has no H.264 encoder, or the disk fails.
    pub fn create(path: &Path, width_px: u32, height_px: u32) -> Result<Self, ClipError> {
        quiet_libav();
        let part = super::part_path(path);
        let failed = |step| {
            let path = path.to_path_buf();
            move |source| ClipError::Mux { step, path, source }
        };
        let text = part.to_str().ok_or_else(|| ClipError::Path {
            path: path.to_path_buf(),
        })?;
        let mut output =
            ff::format::output_as(&format!("file:{text}"), "mp4").map_err(failed("opening"))?;
        let codec = ff::encoder::find_by_name("libx264")
            .or_else(|| ff::encoder::find(ff::codec::Id::H264))
            .ok_or(ff::Error::EncoderNotFound)
            .map_err(failed(
                "finding an H.264 encoder for (install Debian's libavcodec)",
            ))?;
        let (width, height) = (width_px & !1, height_px & !1);
        let encoder =
            open_encoder(codec, width, height).map_err(failed("opening the encoder for"))?;
        let mut stream = output.add_stream(codec).map_err(failed("laying out"))?;
        stream.set_time_base((1, TICKS_PER_SECOND));
        stream.set_parameters(&encoder);
        let mut options = ff::Dictionary::new();
        options.set("movflags", "+faststart");
        output
            .write_header_with(options)
            .map_err(failed("the header"))?;
        let scaler = ff::software::scaling::Context::get(
            ff::format::Pixel::RGB24,
            width,
            height,
            ff::format::Pixel::YUV420P,
            width,
            height,
            ff::software::scaling::Flags::BILINEAR,
        )
        .map_err(failed("converting the colours"))?;
        Ok(Self {
            path: path.to_path_buf(),
            part,
            output,
            encoder,
            scaler,
            rgb: ff::frame::Video::new(ff::format::Pixel::RGB24, width, height),
            last_ticks: -1,
        })
    }

    /// Adds a picture, of the size that was said, to be shown at `at` from the clip's begin.
    pub fn push(&mut self, picture: &RgbImage, at: StreamTime) -> Result<(), ClipError> {
        let (stride, rows) = (self.rgb.stride(0), self.rgb.height() as usize);
        let (row_bytes, source_bytes) =
            (self.rgb.width() as usize * 3, picture.width() as usize * 3);
        let pixels = picture.as_raw();
        let data = self.rgb.data_mut(0);
        for row in 0..rows {
            data[row * stride..row * stride + row_bytes]
                .copy_from_slice(&pixels[row * source_bytes..row * source_bytes + row_bytes]);
        }
        let mut frame = ff::frame::Video::empty();
        let scaled = self.scaler.run(&self.rgb, &mut frame);
        scaled.map_err(|source| self.failed("converting the colours", source))?;
        self.encode(frame, at)
    }

    /// Adds a picture's planes, as [`Recoder::push`] does: a third faster, and no colour shifts.
    pub fn push_planes(&mut self, picture: &Planar, at: StreamTime) -> Result<(), ClipError> {
        let (width, height) = (self.rgb.width(), self.rgb.height());
        self.encode(as_frame(picture, width, height), at)
    }

    fn encode(&mut self, mut frame: ff::frame::Video, at: StreamTime) -> Result<(), ClipError> {
        let ticks = at.as_micros() * i64::from(TICKS_PER_SECOND / 1_000) / 1_000;
        self.last_ticks = ticks.max(self.last_ticks + 1);
        frame.set_pts(Some(self.last_ticks));
        let sent = self.encoder.send_frame(&frame);
        sent.map_err(|source| self.failed("encoding a picture", source))?;
        self.write_ready()
    }

    /// Ends the clip, and returns when it is on the disk.
    pub fn finish(mut self) -> Result<(), ClipError> {
        let ended = self.encoder.send_eof();
        ended.map_err(|source| self.failed("encoding the end", source))?;
        self.write_ready()?;
        let written = self.output.write_trailer();
        written.map_err(|source| self.failed("the index", source))?;
        publish(&self.part, &self.path).map_err(|source| ClipError::Publish {
            path: self.path.clone(),
            source,
        })
    }

    fn write_ready(&mut self) -> Result<(), ClipError> {
        let time_base = self
            .output
            .stream(0)
            .map_or((1, TICKS_PER_SECOND).into(), |stream| stream.time_base());
        let mut packet = ff::Packet::empty();
        while self.encoder.receive_packet(&mut packet).is_ok() {
            packet.set_stream(0);
            packet.rescale_ts((1, TICKS_PER_SECOND), time_base);
            let written = packet.write_interleaved(&mut self.output);
            written.map_err(|source| self.failed("a picture", source))?;
        }
        Ok(())
    }

    fn failed(&self, step: &'static str, source: ff::Error) -> ClipError {
        ClipError::Mux {
            step,
            path: self.path.clone(),
            source,
        }
    }
}

/// Returns the upper left `width` x `height` pixels of the planes, both even, as FFmpeg's own.
pub(super) fn as_frame(picture: &Planar, width: u32, height: u32) -> ff::frame::Video {
    let mut frame = ff::frame::Video::new(ff::format::Pixel::YUV420P, width, height);
    let of_picture = picture.size_px().0 as usize;
    for (index, plane) in picture.planes().into_iter().enumerate() {
        let shrink = if index == 0 { 1 } else { 2 };
        let (row_bytes, rows) = (width as usize / shrink, height as usize / shrink);
        let stride = frame.stride(index);
        let (to, from) = (
            frame.data_mut(index).chunks_mut(stride),
            plane.chunks(of_picture.div_ceil(shrink)),
        );
        for (to, from) in to.zip(from).take(rows) {
            to[..row_bytes].copy_from_slice(&from[..row_bytes]);
        }
    }
    frame
}

/// What a camera sends; for the encoder's own account only, pictures keep their times.
const PICTURES_PER_SECOND: i32 = 25;

fn open_encoder(
    codec: ff::Codec,
    width_px: u32,
    height_px: u32,
) -> Result<ff::encoder::video::Encoder, ff::Error> {
    let context = ff::codec::context::Context::new_with_codec(codec);
    let mut encoder = context.encoder().video()?;
    encoder.set_width(width_px);
    encoder.set_height(height_px);
    encoder.set_format(ff::format::Pixel::YUV420P);
    encoder.set_time_base((1, TICKS_PER_SECOND));
    // Of the time base alone a level would follow that no player has.
    encoder.set_frame_rate(Some((PICTURES_PER_SECOND, 1)));
    // MP4 keeps the parameter sets before the pictures.
    encoder.set_flags(ff::codec::Flags::GLOBAL_HEADER);
    encoder.set_gop(50);
    // A player that jumps into the clip must not begin with a picture that needs a later one.
    encoder.set_max_b_frames(0);
    let mut options = ff::Dictionary::new();
    options.set("preset", PRESET);
    options.set("crf", CRF);
    // Cameras need the other cores.
    options.set("threads", "1");
    encoder.open_with(options)
}
