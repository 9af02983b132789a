"""Real pictures for the verifier: recordings in which nothing falls, as they are and with drawn falls over them.

Without the drawn falls a network would learn that what looks real does not fall. A part of a recording is cropped, scaled, made darker or
brighter and encoded again as a camera would; every second clip shows falls, drawn by the corpus's own physics over the moving picture.

  python verifier_real.py --negatives FOLDER --out out/real --count 40      # pedestrians.mp4, swaying_tree.mp4, highway.avi
"""
import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "fixtures" / "generate"))
from facade import camera, clips, picture, render, solids, things  # noqa: E402

# recording: (class of what moves in it, frames a second that it is played at)
RECORDINGS = {"pedestrians.mp4": ("traffic", (10, 15, 25)), "swaying_tree.mp4": ("foliage_laundry", (15, 15, 25)),
              "highway.avi": ("traffic", (30, 30, 20))}
SECONDS = 5.0
M = render.MARGIN


class Over(render.Frame):
    """A frame whose background is a recording."""

    def __init__(self, cam, look, frames):
        super().__init__(cam, look, picture.Lighting(look, cam, None), frames[0], np.zeros(frames[0].shape[:2], np.float32))
        self.frames = frames

    def show(self, index):
        yuv = render.to_yuv(self.frames[index])
        self.y, self.u, self.v = np.ascontiguousarray(yuv[..., 0]), render.half(yuv[..., 1]), render.half(yuv[..., 2])


class Shot:
    """What the encoder needs to know of a clip."""

    def __init__(self, rng, width, height, fps):
        self.width, self.height, self.fps = width, height, fps
        self.codec = "h265" if rng.random() < .3 else "h264"
        self.kbit_s = int(np.exp(rng.uniform(np.log(1500), np.log(9000))) * width * height / (1920 * 1080))
        self.preset = "ultrafast" if self.codec == "h265" else "veryfast"
        self.profile = "main"


def part_of(path, rng, seconds, fps):
    """Returns frames [n] of BGR floats: some seconds of the recording, cropped, scaled, flipped, graded; with the margin."""
    reader = cv2.VideoCapture(str(path))
    total = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
    count = min(int(seconds * fps), total - 1)
    first = int(rng.integers(0, total - count))
    reader.set(cv2.CAP_PROP_POS_FRAMES, first)
    w, h = int(reader.get(cv2.CAP_PROP_FRAME_WIDTH)), int(reader.get(cv2.CAP_PROP_FRAME_HEIGHT))
    share = rng.uniform(.6, 1)
    cw, ch = int(w * share), int(h * share)
    x, y = int(rng.integers(0, w - cw + 1)), int(rng.integers(0, h - ch + 1))
    scale = min(rng.uniform(1.0, 2.2), 800 / cw)
    size = (int(cw * scale) // 2 * 2, int(ch * scale) // 2 * 2)
    flip, gamma, gain = rng.random() < .5, rng.uniform(.7, 1.5), rng.uniform(.6, 1.1)
    frames = []
    while len(frames) < count:
        ok, bgr = reader.read()
        if not ok:
            break
        bgr = cv2.resize(bgr[y:y + ch, x:x + cw], size, interpolation=cv2.INTER_CUBIC)
        if flip:
            bgr = bgr[:, ::-1]
        bgr = 255 * gain * (np.clip(bgr, 0, 255).astype(np.float32) / 255) ** gamma
        frames.append(cv2.copyMakeBorder(bgr, M, M, M, M, cv2.BORDER_REPLICATE))
    return frames


def throw(rng, cam, look, seconds):
    """Returns something that falls somewhere in the picture, of 3 to 30 pixels."""
    kind = str(rng.choice(list(clips.OBJECTS)))
    terminal, shape, colours, spin = clips.OBJECTS[kind]
    depth = rng.uniform(12, 45)
    # from a place in the upper part of the picture, `depth` metres away
    u, v = rng.uniform(.08, .92) * cam.width_px - cam.width_px / 2, rng.uniform(.02, .35) * cam.height_px - cam.height_px / 2
    origin = cam.position + depth * (cam.axes[2] + cam.axes[0] * u / cam.focal_px - cam.axes[1] * v / cam.focal_px)
    path = solids.fall(float(rng.uniform(.3, seconds - 2)), origin, (rng.normal() * .9, rng.uniform(-.3, 1.4), rng.normal() * .5), terminal,
                       floor_y=float(origin[1] - 25))
    vertices, faces, closed = shape(rng)
    wanted_px = np.exp(rng.uniform(np.log(2.5), np.log(22)))
    size = float(np.clip(wanted_px / (.2 * cam.focal_px / depth), .5, 4))
    if rng.random() < .5:
        colours = [(float(rng.uniform(.02, .85)),) * 3]
    return things.Solid("falling_object", path, (vertices * size, faces, closed), np.array(colours), rng, spin, mirror=False)


def make(folder, out, seed):
    name = f"r{seed:06d}"
    if (out / f"{name}.truth.json").exists():
        return
    rng = np.random.default_rng([seed, 12])
    source = list(RECORDINGS)[seed % len(RECORDINGS)]
    cls, rates = RECORDINGS[source]
    fps = float(rng.choice(rates))
    frames = part_of(folder / source, rng, SECONDS, fps)
    height, width = (v - 2 * M for v in frames[0].shape[:2])
    look = camera.look(str(rng.choice(["day", "sun", "overcast"])), rng)
    look.exposure *= .8
    cam = camera.Camera(width, height, 0, 5, 40, rng.uniform(5, 30), 0, rng.uniform(-2, 2), rng.uniform(30, 70))
    shot = Shot(rng, width, height, fps)
    falling = [throw(rng, cam, look, SECONDS) for _ in range(int(rng.integers(3, 6)))] if seed % 2 else []
    frame = Over(cam, look, frames)
    tracks = {}
    process = render.encoder(out / f"{name}.mp4", shot, None)
    for i in range(len(frames)):
        t = i / fps
        frame.show(i)
        for index, thing in enumerate(falling):
            for box in thing.draw(frame, t) or []:
                tracks.setdefault(index, []).append(render._located(i, t, box, (0, 0)))
        y = np.clip(frame.y[M:-M, M:-M] * (219 / 255) + 16 + rng.normal(size=(height, width)) * rng.uniform(.3, 1.2), 0, 255).astype(np.uint8)
        u, v = (np.clip(p[M // 2:-M // 2, M // 2:-M // 2] * (224 / 255) + 128, 0, 255).astype(np.uint8) for p in (frame.u, frame.v))
        process.stdin.write(y.tobytes() + u.tobytes() + v.tobytes())
    process.stdin.close()
    if process.wait() != 0:
        raise RuntimeError(f"ffmpeg failed on {name}")
    shot.frames, shot.ambient, shot.look, shot.kinds = len(frames), cls, look, [source]
    render.write_truth(out / f"{name}.truth.json", shot,
                       [{"thing": k, "part": 0, "class": "falling_object", "boxes": boxes} for k, boxes in tracks.items()])
    print(name, source, f"{width}x{height}", len(frames), "frames,", len(tracks), "falls", flush=True)


def main(argv):
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--negatives", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=40)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in range(args.first_seed, args.first_seed + args.count):
        make(args.negatives, args.out, seed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
