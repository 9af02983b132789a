"""Real vehicles cut out of their pictures, to be pasted into other cars.

    python models/training/ebike_cutouts.py --real ../shared/data/ebike --out models/training/out/cutouts

A box is turned into a mask by GrabCut, which is rough: parts of a rider or of the floor come along, and that is how vehicles
look in crowded cars. Each cut-out is a PNG with transparency, named <set>_<class>_<picture>_<n>.png; they are material for
training on this machine and never leave it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from ebike_data import BICYCLE, EBIKE, PRAM, WHEELCHAIR, real_items
from ebike_model import CLASSES

SIDE_MAX = 220  # pixels; training pictures are 384 wide
SHARE_MIN, SHARE_MAX = 0.25, 0.97  # of the box that a mask may fill; outside of that GrabCut has failed


def cut(picture: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """The thing in a box (left, top, right, bottom in pixels) as BGRA, or None when no mask of sense is found."""
    scale = min(1.0, SIDE_MAX / max(box[2] - box[0], box[3] - box[1]))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    h, w = small.shape[:2]
    x0, y0, x1, y1 = (box * scale).round().astype(int)
    pad = max(6, int(0.12 * max(x1 - x0, y1 - y0)))
    left, top = max(0, x0 - pad), max(0, y0 - pad)
    part = np.ascontiguousarray(small[top:min(h, y1 + pad), left:min(w, x1 + pad)])
    inner = (max(0, x0 - left), max(0, y0 - top), min(x1, w) - max(0, x0), min(y1, h) - max(0, y0))
    if min(inner[2:]) < 40:
        return None
    mask = np.zeros(part.shape[:2], np.uint8)
    try:
        cv2.grabCut(part, mask, inner, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # a box that fills its picture leaves no background to learn from
        return None
    solid = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid)
    if count < 2:
        return None
    solid = np.isin(labels, [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] > 0.05 * solid.sum()]).astype(np.uint8)
    x, y, bw, bh = cv2.boundingRect(solid)
    share = solid.sum() / (inner[2] * inner[3])
    if not SHARE_MIN < share < SHARE_MAX or bw * bh < 0.55 * inner[2] * inner[3]:
        return None
    alpha = cv2.GaussianBlur(solid.astype(np.float32) * 255, (0, 0), 0.8)
    return np.dstack([part, alpha.astype(np.uint8)])[y:y + bh, x:x + bw]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    counts: dict[str, list[int]] = {}
    for item in real_items(args.real):
        if item.part != "train":
            continue
        picture = cv2.imread(str(item.path))
        h, w = picture.shape[:2]
        for n, row in enumerate(item.boxes):
            if row[0] not in (EBIKE, BICYCLE, PRAM, WHEELCHAIR):
                continue
            kind = f"{item.source}_{CLASSES[int(row[0])]}"
            cv2.setRNGSeed(7)
            piece = cut(picture, row[1:] * [w, h, w, h])
            tally = counts.setdefault(kind, [0, 0])
            tally[1] += 1
            if piece is not None:
                tally[0] += 1
                cv2.imwrite(str(args.out / f"{kind}_{item.path.stem}_{n}.png"), piece)
    for kind, (kept, tried) in sorted(counts.items()):
        print(f"{kind}: {kept} of {tried} boxes")


if __name__ == "__main__":
    main()
