"""What a user would take instead of Plumb, on the same clips, in the same run, on one core: an OpenCV program that finds falling
things by background subtraction and SORT, and the same ONNX model behind Python's onnxruntime.

    make bench-peers

Only speed is compared: the OpenCV program tracks whatever moves and knows nothing of gravity, and "times" compares it with Plumb's
motion and tracks. Decoding and the way to grey pictures count on neither side; both are measured in processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from sort import Sort

ROOT = Path(__file__).resolve().parents[2]
VIDEO = ROOT / "fixtures/video"
# A fall by day and one at dusk; rain, laundry and lights.
FACADES = ["facade_day_fall", "facade_dusk_fall", "facade_rain_laundry_lights"]
LOOKS = "elevator_ebike_ride"
FRAMES_MAX = 200
REPLAYS = 3
# The smallest thing that is tracked, pixels.
AREA_MIN = 4
BOXES_MAX = 256


def frames_of(clip: str) -> list[np.ndarray]:
    video, frames = cv2.VideoCapture(str(VIDEO / f"{clip}.mp4")), []
    while len(frames) < FRAMES_MAX:
        read, frame = video.read()
        if not read:
            break
        frames.append(frame)
    return frames


def follow(frames: list[np.ndarray], background) -> float:
    """Frames a second of background subtraction, opening, components and SORT."""
    tracks, square = Sort(), np.ones((2, 2), np.uint8)
    began = time.process_time()
    for frame in frames:
        mask = background.apply(frame)
        mask = cv2.morphologyEx(cv2.threshold(mask, 200, 255, cv2.THRESH_BINARY)[1], cv2.MORPH_OPEN, square)
        stats = cv2.connectedComponentsWithStats(mask)[2][1:]
        boxes = stats[stats[:, cv2.CC_STAT_AREA] >= AREA_MIN][:BOXES_MAX, :4].astype(float)
        tracks.take(boxes)
    return len(frames) / (time.process_time() - began)


def replay(plumb: Path, clip: Path, scene: Path) -> tuple[float, dict]:
    """Processor seconds of a replay, start and decoding included, and its summary."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run([plumb, "replay", clip, "--kind", "facade", "--json", "--scene", scene], check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, json.loads(said.stdout.splitlines()[-1])


def measured_us(bench: str) -> float | None:
    """Microseconds a picture (a call, where it has none) that `cargo bench` has measured, the median; none where it has not run."""
    folder = ROOT / "target/criterion" / bench / "new"
    if not folder.exists():
        return None
    pictures = (json.loads((folder / "benchmark.json").read_text()).get("throughput") or {}).get("Elements", 1)
    return json.loads((folder / "estimates.json").read_text())["median"]["point_estimate"] / 1000 / pictures


def plumb_follows(name: str) -> float:
    """Frames a second of Plumb's motion and tracks, which is what the other program does: benches/motion.rs."""
    us = measured_us(f"facade_clip/{name}")
    if us is None:
        raise SystemExit("run `cargo bench --bench motion -- facade_clip` first, as `make bench-peers` does")
    return 1e6 / us


def plumb_watches(plumb: Path, name: str) -> float:
    """Frames a second of all that Plumb does after decoding: motion, tracks, the judge, looking back at a fall (for which its pictures
    are decoded once more), the verifier. What the start costs is seen on two pictures; of the rest decoding has the share that the
    replay says. The median of a few."""
    clip, scene, rates = VIDEO / f"{name}.mp4", VIDEO / f"{name}.scene.toml", []
    with tempfile.TemporaryDirectory() as folder:
        two = Path(folder) / "two.mp4"
        subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-c", "copy", "-frames:v", "2", two], check=True)
        for _ in range(REPLAYS):
            started, _ = replay(plumb, two, scene)
            used, summary = replay(plumb, clip, scene)
            stages = (used - started) * (1 - summary["decode_s"] / summary["wall_s"])
            rates.append(summary["frames"] / stages)
    return sorted(rates)[len(rates) // 2]


def fill(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    scale = min(width / frame.shape[1], height / frame.shape[0])
    inner = cv2.resize(frame, (round(frame.shape[1] * scale), round(frame.shape[0] * scale)), interpolation=cv2.INTER_AREA)
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return canvas.transpose(2, 0, 1)[None].astype(np.float32)


def boxes_of(output: np.ndarray, centres: np.ndarray, strides: np.ndarray) -> list:
    """The boxes over 0.2, by class, without those that overlap a surer one."""
    scores, bins = output[0, :, :6], output[0, :, 6:].reshape(-1, 4, 8)
    places, classes = np.nonzero(scores > 0.2)
    if not len(places):
        return []
    parts = np.exp(bins[places] - bins[places].max(-1, keepdims=True))
    reach = (parts / parts.sum(-1, keepdims=True) @ np.arange(8.0)) * strides[places, None]
    left, top = centres[places, 0] - reach[:, 0], centres[places, 1] - reach[:, 1]
    rows = np.stack([left, top, reach[:, 0] + reach[:, 2], reach[:, 1] + reach[:, 3]], 1).tolist()
    return list(cv2.dnn.NMSBoxesBatched(rows, scores[places, classes].tolist(), classes.tolist(), 0.2, 0.6))


def look(frames: list[np.ndarray]) -> tuple[float, float]:
    """Milliseconds of one inference alone, and of a whole look: picture into the input, model, boxes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(ROOT / "models/ebike.onnx"), options, providers=["CPUExecutionProvider"])
    height, width = session.get_inputs()[0].shape[2:]
    grids = [(s, np.meshgrid(np.arange(-(-width // s)) * s, np.arange(-(-height // s)) * s)) for s in (8, 16, 32, 64)]
    centres = np.concatenate([np.stack(grid, -1).reshape(-1, 2) for _, grid in grids]).astype(float)
    strides = np.concatenate([np.full(grid[0].size, s, float) for s, grid in grids])
    models, looks = [], []
    for frame in frames:
        began = time.process_time()
        filled = fill(frame, width, height)
        before = time.process_time()
        output = session.run(None, {"data": filled})[0]
        after = time.process_time()
        boxes_of(output, centres, strides)
        models.append(after - before)
        looks.append(time.process_time() - began)
    return float(np.median(models[5:]) * 1000), float(np.median(looks[5:]) * 1000)


def plumb_looks(plumb: Path) -> tuple[float, float | None]:
    """Plumb's own: the model alone, and the whole look where `cargo bench` has measured it."""
    figures = json.loads(subprocess.run([plumb, "bench", "--model", "ebike", "--json"], check=True, capture_output=True).stdout)
    whole_us = measured_us("ebike look 1920x1080")
    return figures["ms_p50"], None if whole_us is None else whole_us / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plumb", type=Path)
    plumb = parser.parse_args().plumb.resolve()
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})  # programs started from here stay on it, too
    cv2.setNumThreads(1)
    print(f"one core; OpenCV {cv2.__version__}, numpy {np.__version__}, onnxruntime {onnxruntime.__version__}\n")
    print("| clip | all after decoding, frames a second | motion and tracks | MOG2 and SORT | times | KNN and SORT | times |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for clip in FACADES:
        frames, ours = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames_of(clip)], plumb_follows(clip)
        row = [f"{clip} {frames[0].shape[1]}x{frames[0].shape[0]}", f"{plumb_watches(plumb, clip):.0f}", f"{ours:.0f}"]
        for make in (cv2.createBackgroundSubtractorMOG2, cv2.createBackgroundSubtractorKNN):
            theirs = follow(frames, make(detectShadows=False))
            row += [f"{theirs:.1f}", f"{ours / theirs:.0f}"]
        print("| " + " | ".join(row) + " |", flush=True)
    frames = frames_of(LOOKS)
    (model, whole), (own_model, own_whole) = look(frames), plumb_looks(plumb)
    print("\n| e-bike detector, ms | Plumb | Python | times |\n| --- | --- | --- | --- |")
    print(f"| the model alone | {own_model:.1f} | {model:.1f} | {model / own_model:.2f} |")
    if own_whole is None:
        print(f"| a whole look | run `make bench` first | {whole:.1f} | |")
    else:
        print(f"| a whole look (Plumb's of a 1080p picture, Python's of {frames[0].shape[1]}x{frames[0].shape[0]}) | {own_whole:.1f} | {whole:.1f} | {whole / own_whole:.2f} |")


if __name__ == "__main__":
    main()
