//! What one look into a car costs, by stage, on one core: letterbox, model, boxes.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use plumb::clock::StreamTime;
use plumb::decode::Frame;
use plumb::detect::boxes::{self, Overlap, Priors};
use plumb::detect::ebike::{EbikeDetector, Least, MODEL};
use plumb::detect::tensor::{ChannelOrder, PictureSpec, PictureTensor};
use plumb::detect::{Models, Runtime};

/// A picture with some structure everywhere, so that no stage can take a short cut.
fn frame(width_px: u32, height_px: u32) -> Frame {
    let luma = (0..height_px).flat_map(|y| {
        (0..width_px).map(move |x| u8::try_from((x * 7 + y * 13 + x * y / 64) % 220 + 16))
    });
    let luma = luma.map(|value| value.expect("under 256")).collect();
    Frame::from_luma(StreamTime::ZERO, width_px, height_px, luma)
}

fn stages(criterion: &mut Criterion) {
    let runtime = Runtime::load(None).expect("ONNX Runtime; run `make runtime`");
    let models = Models::open(&runtime, None).expect("the shipped table");
    let (input, output) = models.shapes(MODEL).expect("the shipped table");
    let side = |index: usize| u32::try_from(input[index]).expect("a fixed size");
    let (height_px, width_px) = (side(2), side(3));
    let spec = PictureSpec {
        width_px,
        height_px,
        colour: ChannelOrder::Bgr,
        mean: [0.0; 3],
        std: [1.0; 3],
    };
    let mut tensor = PictureTensor::new(spec);
    for (width, height) in [(640, 360), (1920, 1080)] {
        let frame = frame(width, height);
        criterion.bench_function(&format!("ebike letterbox {width}x{height}"), |bencher| {
            bencher.iter(|| tensor.fill_from_frame(black_box(&frame)));
        });
    }
    let session = models.session(MODEL).expect("the shipped model");
    criterion.bench_function("ebike model", |bencher| {
        bencher.iter(|| session.run_with(tensor.values(), |output| output[[0, 0, 0]]));
    });
    let raw = session.run(tensor.values()).expect("an output");
    let classes = usize::try_from(output[2]).expect("a fixed size") - 32;
    let priors = Priors {
        width_px,
        height_px,
        strides_px: vec![8, 16, 32, 64],
        bins: 8,
        classes,
    };
    let shape = (priors.count(), priors.values());
    let raw = raw.into_shape_with_order(shape).expect("the model's size");
    // Far below any threshold in use: hundreds of boxes.
    let least = vec![Some(0.02); classes];
    let overlap = Overlap {
        iou_max: 0.6,
        share_max: 0.8,
        mean_iou: 0.45,
    };
    criterion.bench_function("ebike boxes", |bencher| {
        bencher.iter(|| boxes::suppress(boxes::decode(raw.view(), &priors, &least), overlap));
    });
    let mut detector = EbikeDetector::load(&models).expect("the shipped model");
    let frame = frame(1920, 1080);
    criterion.bench_function("ebike look 1920x1080", |bencher| {
        bencher.iter(|| detector.detect(black_box(&frame), Least::Track));
    });
}

criterion_group! {
    name = ebike;
    config = Criterion::default().sample_size(20);
    targets = stages
}
criterion_main!(ebike);
