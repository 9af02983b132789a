"""The whole way from seeds to models.toml, for both models: data, training, export, hash.

    python models/training/train.py verifier ebike      # what `make train` runs
    python models/training/train.py ablation left-out   # the extra detectors that the evaluation compares
    python models/training/train.py verifier ebike --share 0.01   # to see that all works: writes nothing into models/

Every step goes on where it was: a stopped run is started again with the same words. What a seed fixes, and what each step does,
stands in README.md beside this file. Real pictures and clips are used where --shared has them; without them the models are trained on
generated material alone.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODELS = ROOT / "models"
# Seeds (first, count) of the verifier's clips; from 60000 on they hold clutter whose way gains speed as a fall's does.
TRAIN_CLIPS, TEST_CLIPS, REAL_CLIPS = [(30_000, 300), (60_000, 300)], [(100_000, 40), (160_000, 40)], 48
# The detector's rendered pictures. It learns shapes from them alone, then goes on with real pictures: first without one set, so that what it
# finds in cars it never saw is known, then with all, and at last at the size that ships.
PICTURES = 2611
SMALL = ["--size", 288, 192]
SHAPES = [*SMALL, "--steps", 2400, "--rate", 1e-3, "--seed", 11]
LEFT_OUT = [*SMALL, "--steps", 800, "--rate", 7e-4, "--seed", 21, "--share-real", 0.4]
BOTH = [*SMALL, "--steps", 1900, "--rate", 7e-4, "--seed", 31, "--share-real", 0.4]
LAST = ["--steps", 300, "--rate", 2e-4, "--seed", 41, "--share-real", 0.4]
REAL_ONLY = [*SMALL, "--steps", 400, "--rate", 1e-3, "--seed", 21, "--share-real", 1]
FIRST_LEFT_OUT = "lily"  # the shipped detector goes on from where this set was left out
REAL_SETS = ("x50998", "lily", "etoiles")


class Way:
    """Where things lie, how much is made of them, and how a step is run."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.share, self.threads, self.workers = args.share, args.threads, args.workers
        self.out = HERE / "out" if args.share == 1 else HERE / "out" / f"share-{args.share:g}"
        self.weights, self.plumb = args.weights or args.shared / "weights" / "nanodet-plus-m_dynamic_coco.onnx", args.plumb
        self.real = args.shared / "ebike" if (args.shared / "ebike").exists() else None
        self.negatives = args.shared / "falling" / "negatives" if (args.shared / "falling" / "negatives").exists() else None
        self.ships = args.share == 1

    def count(self, whole: int) -> int:
        return max(2, round(whole * self.share))

    def run(self, *command, folder: Path = HERE) -> None:
        words = [str(word) for word in command]
        print("$", *words, flush=True)
        subprocess.run([sys.executable, *words], check=True, cwd=folder)


def verifier(way: Way) -> None:
    """Clips, what the tracker makes of them, training, threshold; verifier_train.py writes hash and threshold into models.toml."""
    for part, stretches in (("train", TRAIN_CLIPS), ("test", TEST_CLIPS)):
        for first, count in stretches:
            way.run("-m", "facade", "corpus", "--out", way.out / "falling" / part, "--first-seed", first, "--count", way.count(count), folder=ROOT / "fixtures" / "generate")
    corpora = ["--corpus", way.out / "falling" / "train"]
    if way.negatives:
        way.run("verifier_real.py", "--negatives", way.negatives, "--out", way.out / "falling" / "real", "--count", way.count(REAL_CLIPS))
        corpora += ["--corpus", way.out / "falling" / "real"]
    way.run("verifier_stacks.py", "--plumb", way.plumb, *corpora, "--out", way.out / "train.npz")
    way.run("verifier_stacks.py", "--plumb", way.plumb, "--corpus", way.out / "falling" / "test", "--out", way.out / "test.npz")
    model = MODELS / "verifier.onnx" if way.ships else way.out / "verifier.onnx"
    way.run("verifier_train.py", "--train", way.out / "train.npz", "--test", way.out / "test.npz", "--share", way.share, "--seed", 1, "--threads", way.threads,
            "--out", way.out / "verifier", "--model", model)


def ebike(way: Way) -> None:
    """Pictures, cut-outs, training in stages, export; the hash goes into models.toml. The int8 form is left for the evaluation."""
    rendered, real = material(way)
    start = shapes(way)
    if real:
        start = train(way, "loo/" + FIRST_LEFT_OUT, LEFT_OUT, [*rendered, *real, "--hold-out", FIRST_LEFT_OUT, "--start", start])
    start = train(way, "ablation/both", BOTH, [*rendered, *real, "--start", start])
    start = train(way, "last", LAST, [*rendered, *real, "--start", start])
    model = MODELS / "ebike.onnx" if way.ships else way.out / "ebike.onnx"
    way.run("ebike_export.py", "--weights", way.weights, "--checkpoint", start, "--out", model)
    if way.ships:
        write_hash("ebike", model)
    way.run("ebike_int8.py", "--model", model, *rendered, *real[:2], "--out", way.out / "precision" / "int8" / "ebike.onnx")


def material(way: Way) -> tuple[list, list]:
    """Renders the pictures and cuts vehicles out of the real ones; returns the options that name the rendered and the real ones."""
    rendered = way.out / "rendered"
    way.run("ebike_render.py", "--out", rendered, "--count", way.count(PICTURES), "--workers", way.workers)
    if not way.real:
        return ["--rendered", rendered], []
    if not (way.out / "cutouts").exists():
        way.run("ebike_cutouts.py", "--real", way.real, "--out", way.out / "cutouts")
    return ["--rendered", rendered], ["--real", way.real, "--cutouts", way.out / "cutouts"]


def train(way: Way, name: str, how: list, sources: list) -> Path:
    """One run of the trainer; returns its checkpoint."""
    steps = how.index("--steps") + 1
    how = [*how[:steps], way.count(how[steps]), *how[steps + 1:]]
    way.run("ebike_train.py", "--weights", way.weights, *sources, *how, "--threads", way.threads, "--out", way.out / name)
    return way.out / name / "checkpoint.pt"


def shapes(way: Way) -> Path:
    """The detector of rendered pictures alone, from which all others go on."""
    return train(way, "ablation/rendered", SHAPES, material(way)[0])


def ablation(way: Way) -> None:
    """Real pictures only; rendered ones only and both are steps on the way to the shipped file."""
    _, real = material(way)
    if real:
        train(way, "ablation/real", REAL_ONLY, real)


def left_out(way: Way) -> None:
    """For each real set with e-bikes a detector that never saw it."""
    rendered, real = material(way)
    start = shapes(way)
    for name in REAL_SETS if real else ():
        train(way, f"loo/{name}", LEFT_OUT, [*rendered, *real, "--hold-out", name, "--start", start])


def write_hash(name: str, model: Path) -> None:
    """Writes a model's SHA-256 into its table of models.toml."""
    path, digest = MODELS / "models.toml", hashlib.sha256(model.read_bytes()).hexdigest()
    head, mark, rest = path.read_text().partition(f"[{name}]\n")
    if not mark:
        raise SystemExit(f"{path} has no [{name}] table")
    path.write_text(head + mark + re.sub(r'sha256 = "[0-9a-f]*"', f'sha256 = "{digest}"', rest, count=1))
    print(f"[{name}] sha256 {digest}")


PARTS = {"verifier": verifier, "ebike": ebike, "ablation": ablation, "left-out": left_out}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--share", type=float, default=1.0, help="make this share of everything; under 1 nothing is written into models/")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared" / "data", help="folder of real sets and published weights")
    parser.add_argument("--weights", type=Path, help="nanodet-plus-m_dynamic_coco.onnx, where it lies elsewhere")
    parser.add_argument("--plumb", type=Path, default=ROOT / "target" / "release" / "plumb")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    way = Way(args)
    way.out.mkdir(parents=True, exist_ok=True)
    for part in args.parts:
        PARTS[part](way)


if __name__ == "__main__":
    main()
