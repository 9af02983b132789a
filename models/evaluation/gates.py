"""Makes the small subset for the regression gates of `make test` (tests/it/gates.rs): fixtures/gates.

It is committed, so it is small and holds this project's own things only: no picture with a 3-D model from elsewhere. Its seeds are
used by no training and by no other part of the evaluation.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

from .material import GENERATE, TRAINING
from .program import ROOT

OUT = ROOT / "fixtures" / "gates"
# Seeds of facades, chosen for their variety and their size before anything was measured on them.
FACADES = (150_007, 150_014, 150_017, 150_018, 150_022)
KBIT_S = 300  # at most, so that the files stay small
RIDES = {950_001: "ebike"}
CRF = 32
PICTURES_FROM, EBIKES, OTHERS = 950_000, 20, 20
JPEG_QUALITY = 50


def run(work: Path) -> None:
    """Makes the subset anew: clips of facades and labelled pictures of elevator cars."""
    sys.path[:0] = [str(GENERATE), str(TRAINING)]
    OUT.mkdir(parents=True, exist_ok=True)
    _facades()
    _rides()
    _pictures(work)


def _facades() -> None:
    from facade import __main__ as facade
    from facade import corpus

    for seed in FACADES:
        clip = corpus.clip(seed)
        clip.name, clip.kbit_s, clip.preset = f"facade_{seed}", min(clip.kbit_s, KBIT_S), "medium"
        facade.make(clip, OUT, False)


def _rides() -> None:
    import elevator_film
    import elevator_rides

    for seed, kind in RIDES.items():
        clip = elevator_rides.random_clip(seed, kind)
        clip.name = f"elevator_{seed}"
        elevator_film.make(clip, OUT, None, CRF, "slow")


def _pictures(work: Path) -> None:
    """Renders pictures until there are enough with an e-bike to judge and enough without."""
    import cv2

    render = importlib.import_module("ebike_render")
    made, out = work / "gates", OUT / "pictures"
    for name in ("images", "labels", "facts"):
        (made / name).mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    missing, number, lines = {True: EBIKES, False: OTHERS}, PICTURES_FROM, []
    while any(missing.values()):
        number += 1
        render.make(number, made, built_only=True)
        rows = [line.split() for line in (made / "labels" / f"{number:06d}.txt").read_text().splitlines()]
        boxes = [row[1:] for row in rows if row[0] == str(render.CLASSES.index("ebike"))]
        if any(row[0] == "-1" for row in rows) or missing[bool(boxes)] == 0:
            continue
        missing[bool(boxes)] -= 1
        picture = cv2.imread(str(made / "images" / f"{number:06d}.jpg"))
        cv2.imwrite(str(out / f"{number}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        what = sorted({render.CLASSES[int(row[0])] for row in rows})
        listed = ", ".join(f"{{ x = {float(x):.4f}, y = {float(y):.4f}, width = {float(w):.4f}, height = {float(h):.4f} }}" for x, y, w, h in boxes)
        lines += ["", "[[picture]]", f'file = "{number}.jpg"', f"shows = {what}".replace("'", '"'), f"ebikes = [{listed}]"]
    head = ["# Made by `python -m evaluation gates`: what is on the pictures, and the boxes of the e-bikes (centre and size as shares of the picture)."]
    (out / "labels.toml").write_text("\n".join(head + lines) + "\n")

