"""Patch stacks of tracks that the tracker made, with their classes: the verifier's training and test material.

Runs `plumb replay CLIP --kind facade --dump-tracks` over every clip of a corpus, with the clip's scene and without, and asks the clip's
truth what each track that the judge looked at really was. Nothing here cuts or follows anything: a stack is what the Rust program made.

A stack is [32,32,32]: eight moments evenly over the track, for each the luma around the object less its mean and its change in 0.12 s,
both over 64, then the same two of three times the surroundings.

  python verifier_stacks.py --plumb target/release/plumb --corpus data/falling/train [--corpus data/falling/real] --out out/train.npz
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

CLASSES = ["falling_object", "drifting_object", "bird", "insect", "foliage_laundry", "rain_snow", "light_reflection", "traffic"]
MOMENTS, VIEWS, SIDE = 8, 4, 32
EACH_MAX = 6  # tracks of a clip that the judge turned down for one reason: the next tell little more


def label(truth, points):
    """Returns the class of a track, what most of its points lie on, or None where falls and other things are mixed."""
    things = [(t["class"], np.array([v[1:] for v in t["boxes"]], float)) for t in truth["things"] if t["boxes"]]
    votes = {}
    for p in points:
        best = None
        for cls, b in things:
            for _, x, y, w, h in b[np.abs(b[:, 0] - p["at_s"]) < .03]:
                if abs(p["x_px"] - x) < w / 2 + 5 and abs(p["y_px"] - y) < h / 2 + 5 and (best is None or w * h < best[0]):
                    best = (w * h, cls)
        name = best[1] if best else ""
        votes[name] = votes.get(name, 0) + 1
    share = {name: count / len(points) for name, count in votes.items()}
    falling = share.get("falling_object", 0)
    if falling >= .6:
        return "falling_object"
    if falling > .15 or share.get("reflection", 0) > .3:
        return None  # partly a fall, or the mirror image of one: neither is to be learnt
    name = max(share, key=share.get)
    return name if name in CLASSES else truth.get("ambient") or "light_reflection"


def dump(plumb, clip, scene):
    """Returns (lines, stacks) of the tracks that were judged in the clip."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(plumb), "replay", str(clip), "--kind", "facade", "--json", "--dump-tracks", folder]
        subprocess.run(command + (["--scene", str(scene)] if scene else []), check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(v) for v in (Path(folder) / "tracks.jsonl").read_text().splitlines() if v.strip()]
        stacks = np.fromfile(Path(folder) / "patches.f32", "<f4").reshape(-1, MOMENTS * VIEWS, SIDE, SIDE)
    if len(lines) != len(stacks):
        raise ValueError(f"{clip}: {len(lines)} tracks but {len(stacks)} stacks")
    return lines, stacks


def stacks_of(plumb, clip):
    """Returns the clip's labelled stacks as arrays by name."""
    name = clip.stem
    truth = json.loads(clip.with_name(f"{name}.truth.json").read_text())
    rng = np.random.default_rng([int(name[1:]), 8])
    scene = clip.with_name(f"{name}.scene.toml")
    rows = []
    for number, drawn in enumerate([None, scene] if scene.exists() else [None]):
        lines, stacks = dump(plumb, clip, drawn)
        count = {}
        for index in rng.permutation(len(lines)):
            line = lines[index]
            cls = label(truth, line["points"])
            if cls is None:
                continue
            key = (cls, line["against"])
            count[key] = count.get(key, 0) + 1
            if not (line["passed_judge"] or line["doubtful"]) and count[key] > EACH_MAX and cls != "falling_object":
                continue
            size = float(np.median([min(p["width_px"], p["height_px"]) for p in line["points"]]))
            rows.append((stacks[index].astype(np.float16), CLASSES.index(cls), line["passed_judge"], number, line["track"],
                         len(line["points"]), size, line["evidence"], line["misfit"], line["misfit_across"], line["surprise"], line["doubtful"], line["needed"]))
    names = ["stacks", "classes", "passed", "scenes", "tracks", "sightings", "sizes", "evidence", "misfit", "misfit_across", "surprise", "doubtful", "needed"]
    found = {key: np.array([row[k] for row in rows]) for k, key in enumerate(names)}
    return found | {"clips": np.repeat(name, len(rows))}


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plumb", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    parts = []
    for corpus in args.corpus:
        (corpus / "stacks").mkdir(exist_ok=True)
        for truth in sorted(corpus.glob("*.truth.json")):
            clip = truth.with_name(truth.name.replace(".truth.json", ".mp4"))
            kept = corpus / "stacks" / f"{clip.stem}.npz"  # a stopped run goes on where it was
            if not kept.exists():
                np.savez(kept, **stacks_of(args.plumb, clip))
            with np.load(kept) as part:
                if len(part["classes"]):
                    parts.append({key: part[key] for key in part.files})
    data = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(args.out, **data)
    for value, what in ((True, "passed the judge"), (False, "turned down by it")):
        count = np.bincount(data["classes"][data["passed"] == value], minlength=len(CLASSES))
        print(what, dict(zip(CLASSES, count.tolist())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
