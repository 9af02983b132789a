//! What the second opinion on a fall costs on one core: cutting the patches out of kept frames, and the
//! model over them.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use plumb::clock::StreamTime;
use plumb::decode::Frame;
use plumb::detect::{Models, Runtime};
use plumb::geometry::BoxPx;
use plumb::track::accelerating::Sighting;
use plumb::verify::{self, Verifier};

const WIDTH_PX: u32 = 1920;
const HEIGHT_PX: u32 = 1080;
const FRAMES: i64 = 25;

fn at(number: i64) -> StreamTime {
    StreamTime::ZERO + Duration::from_millis(40) * u32::try_from(number).expect("not negative")
}

fn frame(number: i64) -> Frame {
    let mut state = 7_u32;
    let luma = (0..WIDTH_PX * HEIGHT_PX).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u8::try_from(state >> 24).expect("eight bits")
    });
    Frame::from_luma(at(number), WIDTH_PX, HEIGHT_PX, luma.collect())
}

fn second_opinion(criterion: &mut Criterion) {
    let frames: Vec<Frame> = (0..FRAMES).map(frame).collect();
    let sightings: Vec<Sighting> = (0..FRAMES)
        .map(|number| Sighting {
            at: at(number),
            area: BoxPx {
                x_px: 900.0,
                y_px: 100.0 + (number * number) as f64,
                width_px: 10.0,
                height_px: 12.0,
            },
            mass: 80.0,
            contrast: 40.0,
        })
        .collect();
    let kept = |at: StreamTime| frames.iter().rev().find(|frame| frame.at <= at);
    criterion.bench_function("verifier patches", |bencher| {
        bencher.iter(|| verify::cut_patches(black_box(&sightings), kept));
    });
    let patches = verify::cut_patches(&sightings, kept).expect("the frames are kept");
    let runtime = Runtime::load(None).expect("ONNX Runtime; run `make runtime`");
    let models = Models::open(&runtime, None).expect("the shipped table");
    let verifier = Verifier::load(&models).expect("the shipped model");
    criterion.bench_function("verifier model", |bencher| {
        bencher.iter(|| verifier.confirms(black_box(&patches)));
    });
}

criterion_group!(benches, second_opinion);
criterion_main!(benches);
