//! What an alarm's pictures cost, at 1080p on one core: the frame in colour, and the JPEG of it.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use plumb::clock::StreamTime;
use plumb::decode::Frame;
use plumb::evidence::picture;

const WIDTH_PX: u32 = 1920;
const HEIGHT_PX: u32 = 1080;

/// A facade of windows, with noise.
fn facade() -> Frame {
    let mut state = 99_u32;
    let mut luma = Vec::with_capacity((WIDTH_PX * HEIGHT_PX) as usize);
    for y in 0..HEIGHT_PX {
        for x in 0..WIDTH_PX {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = u8::try_from(state >> 29).expect("three bits");
            let window = x / 60 % 2 == 0 && y / 45 % 2 == 0;
            luma.push(if window { 80 } else { 140 } + noise);
        }
    }
    Frame::from_luma(StreamTime::ZERO, WIDTH_PX, HEIGHT_PX, luma)
}

fn picture_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("evidence_1080p");
    group.sample_size(20);
    let frame = facade();
    group.bench_function("colour", |bencher| {
        bencher.iter(|| black_box(picture::colour(&frame)));
    });
    let coloured = picture::colour(&frame);
    group.bench_function("jpeg", |bencher| {
        bencher.iter(|| picture::jpeg(&coloured).expect("it has a size"));
    });
    group.finish();
}

criterion_group!(benches, picture_cost);
criterion_main!(benches);
