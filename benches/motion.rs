//! What a facade's frame costs after decoding, on one core: motion, tracks, and both, at 1080p on a
//! facade on which nothing happens and on one in the rain; both, on clips of the fixtures.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plumb::clock::StreamTime;
use plumb::decode::{Decoder, Frame, LoopFilter};
use plumb::detect::motion::Motion;
use plumb::source::file::Recording;
use plumb::track::accelerating::Tracker;

/// A fall by day and one at dusk, 1080p; rain, laundry and lights, 720p. `make bench-peers` takes the same.
const CLIPS: [&str; 3] = [
    "facade_day_fall",
    "facade_dusk_fall",
    "facade_rain_laundry_lights",
];

const WIDTH_PX: u32 = 1920;
const HEIGHT_PX: u32 = 1080;
const FRAMES: u32 = 25;

/// A noisy facade with `drops` streaks of rain.
fn facade(number: u32, drops: u32) -> Frame {
    let mut state = number.wrapping_mul(2_654_435_761).wrapping_add(99);
    let mut luma = Vec::with_capacity((WIDTH_PX * HEIGHT_PX) as usize);
    for y in 0..HEIGHT_PX {
        for x in 0..WIDTH_PX {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = u8::try_from(state >> 30).expect("two bits");
            let window = x / 60 % 2 == 0 && y / 45 % 2 == 0;
            luma.push(if window { 80 } else { 140 } + noise);
        }
    }
    for drop in 0..drops {
        let x = drop.wrapping_mul(7919) % WIDTH_PX;
        let y = drop.wrapping_mul(104_729).wrapping_add(number * 70) % (HEIGHT_PX - 16);
        for row in y..y + 12 {
            luma[(row * WIDTH_PX + x) as usize] = 220;
        }
    }
    let at = StreamTime::from_micros(i64::from(number) * 40_000);
    Frame::from_luma(at, WIDTH_PX, HEIGHT_PX, luma)
}

/// Finds what moves on the frames and follows it. Returns how many tracks are left at the end.
fn follow(frames: &[Frame]) -> usize {
    let (width_px, height_px) = (frames[0].width_px(), frames[0].height_px());
    let (mut motion, mut candidates) = (Motion::default(), Vec::new());
    let mut tracker = Tracker::new(width_px, height_px);
    for frame in frames {
        motion.push(frame);
        while let Some(look) = motion.look(&mut candidates) {
            tracker.take(look.at, look.step_s, &candidates);
        }
    }
    black_box(tracker.tracks().len())
}

/// Returns the frames of a fixture as a facade's are decoded.
fn decoded(name: &str) -> Vec<Frame> {
    let video = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/video");
    let path = video.join(format!("{name}.mp4"));
    let mut recording = Recording::open(&path).expect("the fixture is whole");
    let decoder = Decoder::open_with(recording.info(), LoopFilter::KeyPictures, None);
    let (mut decoder, mut frames) = (decoder.expect("it opens"), Vec::new());
    while let Some(packet) = recording.next_packet().expect("the fixture is whole") {
        decoder.push(&packet, |frame| frames.push(frame));
    }
    decoder.finish(|frame| frames.push(frame));
    frames
}

fn clip_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("facade_clip");
    group.sample_size(10);
    for name in CLIPS {
        let frames = decoded(name);
        group.throughput(Throughput::Elements(frames.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| follow(&frames)));
    }
    group.finish();
}

fn frame_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("facade_1080p");
    group.sample_size(10);
    group.throughput(Throughput::Elements(u64::from(FRAMES)));
    for (name, drops) in [("quiet", 0), ("rain", 300)] {
        let frames: Vec<Frame> = (0..FRAMES).map(|number| facade(number, drops)).collect();
        group.bench_function(name, |bencher| bencher.iter(|| follow(&frames)));
        group.bench_function(format!("{name} motion alone"), |bencher| {
            bencher.iter(|| {
                let (mut motion, mut candidates) = (Motion::default(), Vec::new());
                let mut count = 0;
                for frame in &frames {
                    motion.push(frame);
                    while motion.look(&mut candidates).is_some() {
                        count += candidates.len();
                    }
                }
                black_box(count)
            });
        });
        let (mut motion, mut looks) = (Motion::default(), Vec::new());
        for frame in &frames {
            motion.push(frame);
            let mut candidates = Vec::new();
            while let Some(look) = motion.look(&mut candidates) {
                looks.push((look, std::mem::take(&mut candidates)));
            }
        }
        group.bench_function(format!("{name} tracks alone"), |bencher| {
            bencher.iter(|| {
                let mut tracker = Tracker::new(WIDTH_PX, HEIGHT_PX);
                for (look, candidates) in &looks {
                    tracker.take(look.at, look.step_s, candidates);
                }
                black_box(tracker.tracks().len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, frame_cost, clip_cost);
criterion_main!(benches);
