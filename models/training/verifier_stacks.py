"""Patch stacks along tracks, with their classes: the verifier's training and test material.

Two sources give the same stacks:
  dump   what `plumb replay CLIP --kind facade --scene S --dump-tracks DIR` wrote: tracks that the tracker really made
  truth  cut here along the true ways of the corpus, with the errors that a tracker makes

A stack is [16,32,32]: K = 8 points spread evenly over the track's observed span, and for each the luma around the point
less the patch's mean, and the luma less that of about 0.12 s before at the same place, both divided by 64.

  python verifier_stacks.py --corpus data/falling/train --out models/training/out/train.npz [--dumps data/falling/train-dumps]
"""
import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np

CLASSES = ["falling_object", "drifting_object", "bird", "insect", "foliage_laundry", "rain_snow", "light_reflection"]
K, SIDE, LAG_S, SCALE = 8, 32, 0.12, 64.0


def luma(path, width, height):
    """Returns the luma planes [frames, height, width] as decoded, no range or rate conversion."""
    command = ["ffmpeg", "-v", "fatal", "-threads", "1", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-vsync", "passthrough", "-"]
    raw = np.frombuffer(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout, np.uint8)
    return raw.reshape(-1, height * 3 // 2, width)[:, :height]


def times_of(path):
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "csv=p=0", str(path)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    t = np.sort(np.array([float(v.split(",")[0]) for v in out.split()]))
    return t - t[0]


def patch(plane, x, y):
    """Returns the 32x32 luma centred on (x, y); the picture's edge is repeated outside."""
    h, w = plane.shape
    ys = np.clip(np.arange(math.floor(y) - SIDE // 2, math.floor(y) + SIDE // 2), 0, h - 1)
    xs = np.clip(np.arange(math.floor(x) - SIDE // 2, math.floor(x) + SIDE // 2), 0, w - 1)
    return plane[np.ix_(ys, xs)].astype(np.float32)


def cut(planes, times, points):
    """Returns the stack of a track; `points` is [n,3]: at_s, x_px, y_px in order of time."""
    out = np.empty((2 * K, SIDE, SIDE), np.float32)
    for k in range(K):
        p = points[k * (len(points) - 1) // (K - 1)]
        now = int(np.argmin(np.abs(times - p[0])))
        before = int(np.argmin(np.abs(times - (p[0] - LAG_S))))
        a = patch(planes[now], p[1], p[2])
        out[2 * k] = (a - a.mean()) / SCALE
        out[2 * k + 1] = (a - patch(planes[before], p[1], p[2])) / SCALE
    return out


def shows(stack):
    """Returns whether a tracker could have seen something change in the middle of most moments."""
    change = np.abs(stack[1::2])
    middle = change[:, 9:23, 9:23].reshape(K, -1).max(1)
    noise = np.median(change.reshape(K, -1), axis=1)
    return np.sum((middle > .08) & (middle > 5 * noise)) >= K // 2


def truth_tracks(truth, rng, times):
    """Yields (class, points) along the true ways, with a tracker's gaps, jitter and partial spans."""
    w, h = truth["width_px"], truth["height_px"]
    for thing in truth["things"]:
        cls = thing["class"]
        if cls not in CLASSES:
            continue
        b = np.array([v[1:] for v in thing["boxes"] if 2 < v[2] < w - 2 and 2 < v[3] < h - 2], float)
        if len(b) < 6:
            continue
        big = cls in ("foliage_laundry", "light_reflection")
        for _ in range({"falling_object": 5, "drifting_object": 4, "bird": 4}.get(cls, 2)):
            span = rng.uniform(.45, 1.6)
            start = rng.uniform(b[0, 0], max(b[0, 0] + .01, b[-1, 0] - span * .8))
            part = b[(b[:, 0] >= start) & (b[:, 0] <= start + span)]
            if len(part) < 6:
                continue
            keep = rng.random(len(part)) > rng.uniform(0, .4)
            keep[[0, -1]] = True
            part = part[keep]
            p = part[:, :3].copy()
            if big:  # a tracker follows an edge or a leaf somewhere in it, drifting along a way of its own
                u = rng.uniform(-.45, .45, 2)
                drift = rng.normal(size=2) * rng.choice([0, 15, 60])
                s = ((p[:, 0] - p[0, 0]) / max(.1, p[-1, 0] - p[0, 0]))[:, None]
                p[:, 1:] += u * part[:, 3:5] + s * drift
            p[:, 1:] += rng.normal(size=p[:, 1:].shape) * rng.uniform(.2, 1.5)
            yield cls, p
    ambient = truth.get("ambient") or ""
    for _ in range(8 if ambient else 3):  # what weather, noise and coding make anywhere: ways that look like falls
        span = rng.uniform(.4, 1.2)
        t0 = rng.uniform(.4, times[-1] - span)
        t = times[(times >= t0) & (times <= t0 + span)]
        if len(t) < 6:
            continue
        s = t - t[0]
        v = np.array([rng.normal() * 40, rng.uniform(0, 250)])
        a = np.array([0, rng.uniform(0, 500)])
        p = np.column_stack([t, rng.uniform(.05, .95) * w + v[0] * s, rng.uniform(.05, .7) * h + v[1] * s + a[1] * s * s / 2])
        if p[-1, 2] < h:
            yield ambient or "light_reflection", p


def strung_tracks(truth, rng, times, planes, count):
    """Yields (class, points) that a tracker could string together out of rain or snow: near a way that a fall could take,
    the strongest change of each frame, whichever drop it is."""
    w, h = truth["width_px"], truth["height_px"]
    for _ in range(count):
        t0 = rng.uniform(.4, times[-1] - .5)
        at = np.nonzero((times >= t0) & (times <= t0 + rng.uniform(.5, 1.2)))[0]
        x, y = rng.uniform(.08, .92) * w, rng.uniform(.05, .6) * h
        vx, vy, ay = rng.normal() * 40, rng.uniform(0, .4) * h, rng.uniform(.1, 1.0) * h
        points = []
        for i in at:
            s = times[i] - t0
            cx, cy = int(x + vx * s), int(y + vy * s + ay * s * s / 2)
            if not (14 <= cx < w - 14 and 14 <= cy < h - 14):
                break
            change = np.abs(planes[i, cy - 12:cy + 12, cx - 12:cx + 12].astype(np.int16) - planes[i - 1, cy - 12:cy + 12, cx - 12:cx + 12])
            best = int(change.argmax())
            if change.flat[best] >= 8:
                points.append((times[i], cx - 12 + best % 24, cy - 12 + best // 24))
        if len(points) < 6:
            continue
        cls = label(truth, [{"at_s": t, "x_px": px, "y_px": py} for t, px, py in points])
        if cls in ("rain_snow", "foliage_laundry"):
            yield cls, np.array(points, float)


def label(truth, points):
    """Returns the class of a real track: what its points lie on most often, or None when that is unsure."""
    votes = {}
    by_time = [(t["class"], np.array([v[1:] for v in t["boxes"]], float)) for t in truth["things"] if t["boxes"]]
    for p in points:
        best = None
        for cls, b in by_time:
            near = b[np.abs(b[:, 0] - p["at_s"]) < .03]
            for _, x, y, w, h in near:
                if abs(p["x_px"] - x) < w / 2 + 5 and abs(p["y_px"] - y) < h / 2 + 5 and (best is None or w * h < best[0]):
                    best = (w * h, cls)
        name = best[1] if best else ""
        votes[name] = votes.get(name, 0) + 1
    name, n = max(votes.items(), key=lambda v: v[1])
    if name == "reflection":
        return None  # the mirror image of a fall is judged elsewhere
    if name in CLASSES:
        return name if n >= .55 * len(points) else None
    if any(votes.get(c) for c in ("falling_object", "drifting_object", "bird")):
        return None
    return truth.get("ambient") or "light_reflection"


def from_dump(folder, truth):
    lines = [json.loads(v) for v in (folder / "tracks.jsonl").read_text().splitlines() if v.strip()]
    data = np.fromfile(folder / "patches.f32", "<f4").reshape(-1, 2 * K, SIDE, SIDE)
    if len(lines) != len(data):
        raise ValueError(f"{folder}: {len(lines)} tracks but {len(data)} stacks")
    for line, stack in zip(lines, data):
        cls = label(truth, line["points"])
        if cls:
            yield cls, stack


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--dumps", type=Path, help="folder with one dump folder per clip, named as the clip")
    parser.add_argument("--strung", type=int, default=0, help="tracks to string together out of the rain or snow of a clip")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    stacks, classes, seeds, sources = [], [], [], []
    for path in sorted(args.corpus.glob("*.truth.json")):
        name = path.name.removesuffix(".truth.json")
        truth = json.loads(path.read_text())
        seed = int(name.lstrip("c"))
        rng = np.random.default_rng([seed, 8])
        clip = args.corpus / f"{name}.mp4"
        times = times_of(clip)
        planes = luma(clip, truth["width_px"], truth["height_px"])
        found = [(c, cut(planes, times, p), 0) for c, p in truth_tracks(truth, rng, times)]
        found = [v for v in found if shows(v[1])]
        if args.strung and truth.get("ambient"):
            more = strung_tracks(truth, np.random.default_rng([seed, 9]), times, planes, args.strung)
            found += [(c, cut(planes, times, p), 0) for c, p in more]
        if args.dumps and (args.dumps / name / "tracks.jsonl").exists():
            found += [(c, s, 1) for c, s in from_dump(args.dumps / name, truth)]
        for c, s, source in found:
            stacks.append(s.astype(np.float16))
            classes.append(CLASSES.index(c))
            seeds.append(seed)
            sources.append(source)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(args.out, stacks=np.array(stacks), classes=np.array(classes), seeds=np.array(seeds), sources=np.array(sources))
    for source, what in ((0, "truth"), (1, "dump")):
        count = np.bincount(np.array(classes)[np.array(sources) == source], minlength=len(CLASSES))
        print(what, dict(zip(CLASSES, count.tolist())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
