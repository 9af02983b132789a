"""E-bikes on single pictures: what `plumb detect` finds on cars that it was never shown."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from . import material
from .figures import aim, rate, table
from .program import ROOT, Program

LEAST = 0.02  # detections are asked for from this score on: a threshold is then only a cut
SAME = 0.5  # intersection over union from which on a detection is the thing
WRONG_SHARE = 0.02  # aim: at most 1 in 50 pictures without an e-bike called one
TRIED = ROOT / "models" / "training" / "out"
RENDERED_CLASSES = ("ebike", "bicycle", "person", "pram", "wheelchair", "other")
# The real sets that label e-bikes, and those that show none; a motorbike is neither.
WITH_EBIKES, WITHOUT = ("x50998", "lily", "etoiles", "gumplyz"), ("voc2007", "wheelchair")


@dataclass
class Picture:
    """One picture: the boxes (left, top, right, bottom, pixels of a picture of width and height 1) of each class."""

    path: Path
    boxes: list[tuple[str, tuple[float, float, float, float]]]
    unsure: bool = False  # holds something too hidden to judge
    facts: dict = field(default_factory=dict)  # of a rendered one: camera, lens, infrared, dark, door, people

    def of(self, cls: str) -> list[tuple[float, float, float, float]]:
        return [box for name, box in self.boxes if name == cls]

    def shows(self) -> str:
        """The class that a false alarm would be blamed on."""
        names = {name for name, _ in self.boxes}
        return next((name for name in ("ebike", "bicycle", "wheelchair", "pram", "other", "person") if name in names), "empty")


@dataclass
class Seen:
    """A picture beside what the program says: the best score on its e-bike, and the best of any e-bike claimed."""

    picture: Picture
    hit: float
    any: float

    @property
    def has(self) -> bool:
        return bool(self.picture.of("ebike"))


def read(folder: Path, classes: list[str], names: list[str] | None = None) -> list[Picture]:
    """The labelled pictures of a set in the common layout; a picture without a label file is unlabelled and left out."""
    out = []
    for image in sorted((folder / "images").glob("*.jpg")):
        label = folder / "labels" / f"{image.stem}.txt"
        if not label.exists() or (names is not None and image.name not in names):
            continue
        boxes, unsure = [], False
        for line in label.read_text().splitlines():
            c, x, y, w, h = (float(v) for v in line.split()[:5])
            unsure |= c < 0
            if c >= 0:
                boxes.append((classes[int(c)], (x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
        facts = folder / "facts" / f"{image.stem}.json"
        out.append(Picture(image, boxes, unsure, json.loads(facts.read_text()) if facts.exists() else {}))
    return out


def real_set(root: Path, name: str, part: str | None = None) -> list[Picture]:
    """A real set, or the part of it that its split.txt names."""
    folder = root / name
    if not folder.exists():
        return []
    names = None
    if part is not None:
        names = [line.split()[0] for line in (folder / "split.txt").read_text().splitlines() if line.split()[1:] == [part]]
    pictures = read(folder, (folder / "classes.txt").read_text().split(), names)
    return [p for p in pictures if not p.of("motorbike")]


def look(program: Program, pictures: list[Picture]) -> list[Seen]:
    out = []
    for picture, found in zip(pictures, program.detect([p.path for p in pictures], LEAST)):
        claims, size = [d for d in found if d["class"] == "ebike"], _size(picture.path)
        on = [d["score"] for d in claims if any(_overlap(d, box, size) >= SAME for box in picture.of("ebike"))]
        out.append(Seen(picture, max(on, default=0.0), max((d["score"] for d in claims), default=0.0)))
    return out


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a JPEG, from its frame header."""
    data, at = path.read_bytes(), 2
    while at < len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2:at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7:at + 9], "big"), int.from_bytes(data[at + 5:at + 7], "big")
        at += 2 + length
    raise ValueError(f"{path} is no JPEG")


def _overlap(found: dict, box: tuple[float, float, float, float], size: tuple[int, int]) -> float:
    a = found["x_px"] - found["width_px"] / 2, found["y_px"] - found["height_px"] / 2, found["x_px"] + found["width_px"] / 2, found["y_px"] + found["height_px"] / 2
    b = box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1]
    inner = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
    return inner / union if union > 0 else 0.0


def run(program: Program, work: Path, count: int, jobs: int, real: Path | None) -> dict:
    """Makes the pictures, asks the program, and returns the section."""
    folder, made_by = material.pictures(work, count, jobs)
    first = material.PICTURES_FROM
    wanted = {f"{n:06d}.jpg" for n in range(first, first + count)}
    rendered = [p for p in read(folder, list(RENDERED_CLASSES)) if p.path.name in wanted]
    threshold = program.threshold()
    seen = look(program, rendered)
    sets = {"rendered, held out": seen}
    sets |= {name: look(program, pictures) for name, pictures in _held_out(real).items()}
    parts = [f"{len(rendered)} pictures of `ebike_render.py --first {first} --count {count}` (generator {made_by}); no training uses numbers from {first} on. \"Found\" is a detection "
             f"at or above the shipped threshold, {threshold:.2f}, that overlaps the e-bike's box by half (intersection over union); \"wrong\" is a picture without an e-bike on which "
             f"anything is called one. Pictures whose only e-bike is too small or too hidden to judge are in neither. Intervals are 95 % (Wilson)."]
    parts.append("### Found and wrong\n" + _table(sets, threshold))
    parts.append(_by_size(seen, threshold))
    parts.append(_by_class(seen, threshold))
    parts.append(_by_fact(seen, threshold))
    if real is not None and real.exists():
        parts.append(_left_out(program, real))
    parts.append(_tried(program, "ablation", ("real", "rendered", "both"), {"rendered, held out": rendered, **_held_out(real)}, "### Real data, rendered data, both",
                        "Training alike but for its pictures."))
    parts.append(_precision(program, {"rendered, held out": rendered, **_held_out(real)}))
    parts.append(_missed(sets, threshold))
    aims = []
    for name, group in sets.items():
        having, lacking = _split(group)
        aims.append(aim(f"e-bikes found, {name}", "90 %", sum(s.hit >= threshold for s in having), len(having), least=.9))
        aims.append(aim(f"pictures without one called an e-bike, {name}", "at most 2 %", sum(s.any >= threshold for s in lacking), len(lacking), most=WRONG_SHARE))
    return {"markdown": "\n\n".join(p for p in parts if p), "aims": aims}


def _held_out(real: Path | None) -> dict[str, list[Picture]]:
    if real is None or not (real / "x50998" / "split.txt").exists():
        return {}
    return {"x50998, val split by date": real_set(real, "x50998", "val")}


def _split(seen: list[Seen]) -> tuple[list[Seen], list[Seen]]:
    """Those with an e-bike, and those without."""
    return [s for s in seen if s.has], [s for s in seen if not s.has and not s.picture.unsure]


def _strict(lacking: list[Seen]) -> float:
    """The least threshold at which no more than 1 in 50 of the pictures is wrong."""
    scores = sorted((s.any for s in lacking), reverse=True)
    allowed = int(WRONG_SHARE * len(scores))
    return scores[allowed] + 1e-4 if len(scores) > allowed else 0.0


def _table(sets: dict[str, list[Seen]], threshold: float) -> str:
    lines = []
    for name, seen in sets.items():
        having, lacking = _split(seen)
        strict = _strict(lacking) if len(lacking) >= 50 else None
        lines.append([name, rate(sum(s.hit >= threshold for s in having), len(having)), rate(sum(s.any >= threshold for s in having), len(having)),
                      rate(sum(s.any >= threshold for s in lacking), len(lacking)),
                      "too few to say" if strict is None else f"{sum(s.hit >= strict for s in having)} of {len(having)} at {strict:.2f}"])
    return table(["pictures", "found (aim 90 %)", "called an e-bike at all", "wrong (aim 2 %)", "found where 1 in 50 is wrong"], lines)


def _by_size(seen: list[Seen], threshold: float) -> str:
    groups = defaultdict(list)
    for s in _split(seen)[0]:
        x0, y0, x1, y1 = max(s.picture.of("ebike"), key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))
        area = (x1 - x0) * (y1 - y0)
        groups[next(name for name, below in (("under 5 % of the picture", .05), ("5 to 15 %", .15), ("15 to 35 %", .35), ("over 35 %", 2)) if area < below)].append(s)
    order = ["under 5 % of the picture", "5 to 15 %", "15 to 35 %", "over 35 %"]
    lines = [[name, rate(sum(s.hit >= threshold for s in groups[name]), len(groups[name]))] for name in order if groups[name]]
    return "### By how large the e-bike is\nRendered pictures; the area of its box.\n\n" + table(["e-bike", "found"], lines)


def _by_class(seen: list[Seen], threshold: float) -> str:
    groups = defaultdict(list)
    for s in _split(seen)[1]:
        groups[s.picture.shows()].append(s)
    names = {"bicycle": "bicycle", "pram": "pram", "wheelchair": "wheelchair", "other": "suitcase, trolley, cart, kick scooter", "person": "people only", "empty": "empty car"}
    lines = [[names[c], rate(sum(s.any >= threshold for s in groups[c]), len(groups[c]))] for c in names if groups[c]]
    return "### What is wrongly called an e-bike\nRendered pictures without one.\n\n" + table(["what is in it", "called an e-bike"], lines)


def _by_fact(seen: list[Seen], threshold: float) -> str:
    """Recall and false alarms by how the picture was taken."""
    groups = defaultdict(list)
    for s in seen:
        f = s.picture.facts
        if not f:
            return ""
        groups[f"camera: {f['camera']}"].append(s)
        groups["light: " + ("infrared" if f["infrared"] else "dark" if f["dark"] else "lit")].append(s)
        groups[f"door: {f['door']}"].append(s)
        groups["people: " + ("none" if f["people"] == 0 else "one" if f["people"] == 1 else "two and more")].append(s)
    lines = []
    for name in sorted(groups):
        having, lacking = _split(groups[name])
        lines.append([name, rate(sum(s.hit >= threshold for s in having), len(having)), rate(sum(s.any >= threshold for s in lacking), len(lacking))])
    return "### By camera, light, door and people\nRendered pictures.\n\n" + table(["picture", "found", "wrong"], lines)


def _left_out(program: Program, real: Path) -> str:
    """Each set by the model that was trained without it."""
    lines = []
    for file in sorted((TRIED / "loo").glob("*/ebike.onnx")):
        name = file.parent.name
        pictures = real_set(real, name)
        if not pictures:
            continue
        other = program.with_model("ebike", file)
        having, lacking = _split(look(other, pictures))
        t = other.threshold()
        lines.append([name, rate(sum(s.hit >= t for s in having), len(having)) if name in WITH_EBIKES else "-",
                      rate(sum(s.any >= t for s in having), len(having)) if name in WITH_EBIKES else "-", rate(sum(s.any >= t for s in lacking), len(lacking)), other.model_hash("ebike")[:12]])
    if not lines:
        return ""
    return ("### One set left out\nEach real set, looked at by a model that was trained on all but this set; at the shipped threshold.\n\n"
            + table(["set", "found", "called an e-bike at all", "wrong", "model"], lines))


def _tried(program: Program, folder: str, names: tuple[str, ...], sets: dict[str, list[Picture]], title: str, note: str) -> str:
    lines = []
    for name in names:
        file = TRIED / folder / name / "ebike.onnx"
        if file.exists():
            lines += _compared(program.with_model("ebike", file), name, sets)
    head = ["trained on", "pictures", "found", "wrong", "found where 1 in 50 is wrong", "model"]
    return f"{title}\n{note}\n\n{table(head, lines)}" if lines else ""


def _precision(program: Program, sets: dict[str, list[Picture]]) -> str:
    """The detector in fp32 beside int8; the one that ships stands in for its own kind where no file was left."""
    lines = []
    for name in ("fp32", "int8"):
        file = TRIED / "precision" / name / "ebike.onnx"
        if file.exists():
            lines += _compared(program.with_model("ebike", file), name, sets)
    return "### fp32 beside int8\nThe same pictures; what each costs stands under Models.\n\n" + table(["detector", "pictures", "found", "wrong", "found where 1 in 50 is wrong", "model"], lines) if lines else ""


def _compared(program: Program, name: str, sets: dict[str, list[Picture]]) -> list[list]:
    lines, t = [], program.threshold()
    for which, pictures in sets.items():
        having, lacking = _split(look(program, pictures))
        strict = _strict(lacking) if len(lacking) >= 50 else None
        lines.append([name, which, rate(sum(s.hit >= t for s in having), len(having)), rate(sum(s.any >= t for s in lacking), len(lacking)),
                      "-" if strict is None else f"{sum(s.hit >= strict for s in having)} of {len(having)} at {strict:.2f}", program.model_hash("ebike")[:12]])
    return lines


def _missed(sets: dict[str, list[Seen]], threshold: float) -> str:
    lines = []
    for name, seen in sets.items():
        having, lacking = _split(seen)
        missed = sorted(s.picture.path.stem for s in having if s.hit < threshold)
        wrong = sorted((s for s in lacking if s.any >= threshold), key=lambda s: -s.any)
        if missed:
            elsewhere = sum(s.any >= threshold for s in having if s.hit < threshold)
            lines.append(f"- {name}: missed {len(missed)} (on {elsewhere} of them something beside it is called an e-bike): {', '.join(missed[:40])}{' …' if len(missed) > 40 else ''}")
        if wrong:
            lines.append(f"- {name}: wrong {len(wrong)}: " + ", ".join(f"{s.picture.path.stem} ({s.picture.shows()}, {s.any:.2f})" for s in wrong[:40]))
    return "### Missed and wrong, one by one\n" + ("\n".join(lines) or "None.")
