//! What decoding costs: one second of a facade clip and of an elevator clip, as cameras send them,
//! and the copy of the packets that libavcodec asks for.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plumb::decode::Decoder;
use plumb::source::Packet;
use plumb::source::file::Recording;

/// Packets of the first second.
fn packets(name: &str) -> (Recording, Vec<Packet>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/video")
        .join(name);
    let mut recording = Recording::open(&path).expect("the fixture is whole");
    let next = |_| recording.next_packet().expect("the fixture is whole");
    let packets = (0..25).filter_map(next).collect();
    (recording, packets)
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for name in ["facade_day_fall.mp4", "elevator_ebike_ride.mp4"] {
        let (recording, packets) = packets(name);
        group.throughput(Throughput::Elements(packets.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut decoder = Decoder::open(recording.info()).expect("it opens");
                let mut frames = 0;
                for packet in &packets {
                    decoder.push(packet, |frame| frames += u64::from(frame.width_px() > 0));
                }
                decoder.finish(|_| frames += 1);
                assert_eq!(frames, packets.len() as u64);
            });
        });
        group.bench_function(format!("{name} copy alone"), |b| {
            b.iter(|| {
                for packet in &packets {
                    black_box(packet.data.to_vec());
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
