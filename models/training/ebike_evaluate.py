"""Counts what a detector file finds and what it wrongly calls an e-bike, set by set, through onnxruntime on one core.

    python models/training/ebike_evaluate.py --model models/ebike.onnx --real ../shared/data/ebike --rendered models/training/out/rendered

A picture's e-bike counts as found when a detection of the class at or above the threshold overlaps its box by half (IoU 0.5);
a picture without one counts as wrongly called when any detection of the class reaches the threshold.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from ebike_data import EBIKE, letterbox, real_items, rendered_items
from ebike_model import BINS, CLASSES, priors


class Runner:
    """A detector file on one core."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options)
        self.height, self.width = self.session.get_inputs()[0].shape[2:]
        self.prior = priors(self.height, self.width)

    def detect(self, picture: np.ndarray, least: float = 0.02) -> list[tuple[int, float, np.ndarray]]:
        """Class, score and box (left, top, right, bottom in the picture's pixels), best first."""
        boxed, scale, dx, dy = letterbox(picture, self.width, self.height)
        out = self.session.run(None, {"data": boxed.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
        scores, bins = out[:, : len(CLASSES)], out[:, len(CLASSES):].reshape(-1, 4, BINS)
        bins = np.exp(bins - bins.max(-1, keepdims=True))
        distance = (bins / bins.sum(-1, keepdims=True)) @ np.arange(BINS) * self.prior[:, 2:]
        boxes = np.concatenate([self.prior[:, :2] - distance[:, :2], self.prior[:, :2] + distance[:, 2:]], 1)
        boxes = (boxes - [dx, dy, dx, dy]) / scale
        found = []
        for c in range(len(CLASSES)):
            rows = np.flatnonzero(scores[:, c] >= least)
            rows = rows[np.argsort(-scores[rows, c], kind="stable")]
            while len(rows):
                best = rows[0]
                found.append((c, float(scores[best, c]), boxes[best]))
                rows = rows[overlap(boxes[best], boxes[rows]) < 0.6]
        return sorted(found, key=lambda d: -d[1])


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low, high = np.maximum(a[:2], b[..., :2]), np.minimum(a[2:], b[..., 2:])
    inner = np.clip(high - low, 0, None).prod(-1)
    return inner / ((a[2:] - a[:2]).prod() + (b[..., 2:] - b[..., :2]).prod(-1) - inner + 1e-9)


def judge(runner: Runner, items) -> list[dict]:
    """Per picture: whether it has an e-bike, the best score that overlaps it, the best score of any e-bike claimed."""
    rows = []
    for item in items:
        picture = cv2.imread(str(item.path))
        h, w = picture.shape[:2]
        claims = [(s, b) for c, s, b in runner.detect(picture) if c == EBIKE]
        truth = [b[1:] * [w, h, w, h] for b in item.boxes if b[0] == EBIKE]
        hit = max([s for s, b in claims if any(overlap(b, np.array([t]))[0] >= 0.5 for t in truth)], default=0.0)
        rows.append({"set": item.source, "part": item.part, "name": item.path.name, "has": bool(truth), "hit": hit, "any": max([s for s, _ in claims], default=0.0),
                     "classes": sorted({CLASSES[int(b[0])] for b in item.boxes if b[0] >= 0})})
    return rows


def table(rows: list[dict], thresholds: list[float]) -> str:
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(f"{row['set']} {row['part']}", []).append(row)
    lines = ["| set | pictures with / without | " + " | ".join(f"at {t:.2f}: found, wrong" for t in thresholds) + " |", "|---" * (2 + len(thresholds)) + "|"]
    for name, group in groups.items():
        having, lacking = [r for r in group if r["has"]], [r for r in group if not r["has"]]
        cells = [f"{sum(r['hit'] >= t for r in having)}, {sum(r['any'] >= t for r in lacking)}" for t in thresholds]
        lines.append(f"| {name} | {len(having)} / {len(lacking)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def strictest(rows: list[dict], share: float = 0.02) -> float:
    """The least threshold at which no more than `share` of the pictures without an e-bike are called one."""
    scores = sorted((r["any"] for r in rows if not r["has"]), reverse=True)
    allowed = int(share * len(scores))
    return round(scores[allowed] + 0.005, 3) if len(scores) > allowed else 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--rendered", type=Path)
    parser.add_argument("--part", default="val", help="val, train or all; sets without a split count as train")
    parser.add_argument("--sets", nargs="*", help="only these sets")
    parser.add_argument("--thresholds", type=float, nargs="*", default=[0.2, 0.3, 0.4, 0.5, 0.6])
    parser.add_argument("--json", type=Path, help="write the rows here")
    args = parser.parse_args()
    runner = Runner(args.model)
    items = (real_items(args.real) if args.real else []) + (rendered_items(args.rendered) if args.rendered else [])
    items = [i for i in items if args.part in ("all", i.part) and (not args.sets or i.source in args.sets)]
    items = [i for i in items if EBIKE in i.known or (i.boxes[:, 0] == EBIKE).any()]
    rows = judge(runner, items)
    print(table(rows, args.thresholds))
    print(f"threshold for at most 1 in 50 wrong over all {sum(not r['has'] for r in rows)} pictures without an e-bike: {strictest(rows)}")
    blank, times = np.zeros((runner.height, runner.width, 3), np.uint8), []
    for _ in range(50):
        began = time.thread_time()
        runner.session.run(None, {"data": blank.transpose(2, 0, 1)[None].astype(np.float32)})
        times.append(time.thread_time() - began)
    print(f"{args.model.stat().st_size / 1e6:.2f} MB, {np.median(times) * 1e3:.1f} ms a frame of processor time on one core ({runner.width}x{runner.height})")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
