"""Reads what is true of a facade clip, and tells which alarm belongs to which fall and what a false one came from."""

from __future__ import annotations

import bisect
import json
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

WEATHER = ("rain", "snow")
SHOWN_LEAST_S = 0.5  # a fall counts when the picture shows it this long,
SHOWN_AFTER_S = 0.2  # and this long after it has fallen two storeys,
CLIP_AFTER_S = 1.0  # and the clip goes on for as long as an alarm may take
TOGETHER_S = 1.5  # two falls that begin within this time,
TOGETHER_SHARE = 0.05  # and within this share of the picture's width, may be one event to the program: a thing and its mirror image are so
NEAR_SHARE = 0.5  # share of an alarm's track that must lie on the way of what it is ascribed to
CAUSE_SHARE = 0.3
CAUSE_PX = 8.0  # how far beside a mover's box a track may run, at 960 pixels width


@dataclass
class Way:
    """Where something was: boxes (at_s, centre x_px, y_px, width_px, height_px) in order of time."""

    cls: str
    boxes: list[tuple[float, float, float, float, float]]
    contrast: float | None = None  # how much it stands out, in spreads of one frame's noise
    times: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.times = [b[0] for b in self.boxes]

    def around(self, at_s: float, slack_s: float) -> tuple[float, float, float, float] | None:
        """The box at a time, between the two frames beside it; none where it was not seen within `slack_s`."""
        n = bisect.bisect_left(self.times, at_s)
        before, after = self.boxes[max(0, n - 1)], self.boxes[min(n, len(self.boxes) - 1)]
        if min(abs(before[0] - at_s), abs(after[0] - at_s)) > slack_s:
            return None
        span = after[0] - before[0]
        share = min(1.0, max(0.0, (at_s - before[0]) / span)) if span > 0 else 0.0
        return tuple(a + share * (b - a) for a, b in zip(before[1:], after[1:]))

    def speed_px_s(self, at_s: float) -> float:
        a, b = self.around(at_s - 0.06, 0.2), self.around(at_s + 0.06, 0.2)
        return 0.0 if a is None or b is None else math.hypot(b[0] - a[0], b[1] - a[1]) / 0.12


@dataclass
class Fall:
    """One expected alarm: the thing's own way, and its mirror image's where glass shows one."""

    way: Way
    images: list[Way]
    released_s: float
    two_storeys_s: float
    left_s: float
    floor: int | None
    origin: tuple[float, float] | None
    size_px: float  # its smaller side when it has fallen two storeys, blur and smear of the exposure included
    counts: bool


@dataclass
class Clip:
    """A clip and what is true of it."""

    name: str
    path: Path
    scene: Path | None
    light: str
    kinds: list[str]
    seconds: float
    width_px: int
    height_px: int
    falls: list[Fall]
    movers: list[Way]
    ambient: str

    def raised_after(self, fall: Fall, alarm: dict) -> float:
        """Seconds from when the fall could be known (two storeys fallen and in the picture) to the alarm."""
        return alarm["raised_at_s"] - max(fall.two_storeys_s, fall.way.times[0])

    def beside(self, fall: Fall) -> list[Fall]:
        """The other falls that happen so near and so soon that one alarm may be meant for both."""
        return [other for other in self.falls if other is not fall and abs(other.released_s - fall.released_s) <= TOGETHER_S
                and abs(other.way.boxes[0][1] - fall.way.boxes[0][1]) <= TOGETHER_SHARE * self.width_px]

    def whose(self, alarm: dict) -> Fall | None:
        """The fall that an alarm's track follows, in place and time; the mirror image is the same fall."""
        best, most = None, NEAR_SHARE
        for fall in self.falls:
            for way in (fall.way, *fall.images):
                share = self._share_on(alarm, way)
                if share >= most:
                    best, most = fall, share
        return best

    def cause(self, alarm: dict) -> str:
        """The class of what moved nearest to a false alarm's track."""
        reach = CAUSE_PX * self.width_px / 960
        ranked = []
        for way in self.movers:
            boxes = [(way.around(p["at_s"], 0.08), p) for p in alarm["track"]]
            shares = sum(b is not None and _outside(p, b) <= reach for b, p in boxes) / max(1, len(boxes))
            area = sum(b[2] * b[3] for b, _ in boxes if b) / max(1, sum(b is not None for b, _ in boxes))
            if shares >= CAUSE_SHARE:
                ranked.append((-round(shares * 5), area, way.cls))
        if ranked:
            return min(ranked)[2]
        return self.ambient or ("camera_shake" if "shake" in self.kinds else "nothing")

    def _share_on(self, alarm: dict, way: Way) -> float:
        near = 0
        for point in alarm["track"]:
            box = way.around(point["at_s"], 0.1)
            if box is not None:
                reach = math.hypot(box[2], box[3]) / 2 + 0.06 * way.speed_px_s(point["at_s"]) + 8 * self.width_px / 960
                near += math.hypot(point["x_px"] - box[0], point["y_px"] - box[1]) <= reach
        return near / max(1, len(alarm["track"]))


def _outside(point: dict, box: tuple[float, float, float, float]) -> float:
    """How far a point lies outside of a box, pixels."""
    return math.hypot(max(0.0, abs(point["x_px"] - box[0]) - box[2] / 2), max(0.0, abs(point["y_px"] - box[1]) - box[3] / 2))


def read(folder: Path, name: str) -> Clip:
    """A clip of the generator: <name>.mp4, .toml (what a person expects), .scene.toml and .truth.json (all that moves)."""
    expected = tomllib.loads((folder / f"{name}.toml").read_text())
    truth = json.loads((folder / f"{name}.truth.json").read_text())
    light, kinds = _described(expected, truth)
    seconds = float(expected["duration_s"])
    things: dict[tuple[int, str], list[Way]] = {}
    for thing in truth["things"]:
        if thing["boxes"]:
            things.setdefault((thing["thing"], thing["class"]), []).append(
                Way(thing["class"], [tuple(b[1:]) for b in thing["boxes"]], thing.get("contrast_noise")))
    falls = [_fall(alarm, things, expected, seconds) for alarm in expected.get("alarm", [])]
    movers = [way for (_, cls), ways in things.items() if cls != "falling_object" for way in ways]
    movers += [way for fall in falls for way in (fall.way, *fall.images)]
    return Clip(name, folder / f"{name}.mp4", folder / f"{name}.scene.toml", light, kinds, seconds, expected["width_px"], expected["height_px"],
                falls, movers, truth.get("ambient") or "")


def _described(expected: dict, truth: dict) -> tuple[str, list[str]]:
    """The light, and what moves besides falls."""
    if "light" in truth:
        return truth["light"], list(truth["kinds"])
    head, _, tail = expected["description"].partition(": ")
    return head.rpartition(", ")[2], [kind for kind in tail.split(", ") if kind]


def _fall(alarm: dict, things: dict, expected: dict, clip_s: float) -> Fall:
    first = alarm["path"][0]
    number, way = next((number, way) for (number, cls), ways in things.items() if cls == "falling_object" for way in ways if _passes(way, first))
    images = things.get((number, "reflection"), [])
    inside = [b for b in way.boxes if 0 <= b[1] < expected["width_px"] and 0 <= b[2] < expected["height_px"]]
    way = Way(way.cls, inside, way.contrast)
    two_s, left_s = alarm["two_storeys_at_s"], min(alarm["left_at_s"], clip_s)
    moment = min(max(two_s, inside[0][0]), inside[-1][0])
    sides = sorted(min(b[3], b[4]) for b in inside if abs(b[0] - moment) <= 0.2) or [min(inside[-1][3:])]
    counts = left_s - inside[0][0] >= SHOWN_LEAST_S and left_s - two_s >= SHOWN_AFTER_S and clip_s - two_s >= CLIP_AFTER_S
    origin = alarm["origin"]["x_px"], alarm["origin"]["y_px"]
    shown = 0 <= origin[0] < expected["width_px"] and 0 <= origin[1] < expected["height_px"]
    return Fall(way, images, alarm["released_at_s"], two_s, left_s, alarm["floor"] if shown else None, origin, sides[len(sides) // 2], counts)


def _passes(way: Way, point: dict) -> bool:
    return any(abs(b[0] - point["at_s"]) < 2e-3 and abs(b[1] - point["x_px"]) < 0.06 and abs(b[2] - point["y_px"]) < 0.06 for b in way.boxes)


def read_real(folder: Path) -> list[Clip]:
    """The real clips beside the checkout: falls with their boxes, and clips in which nothing falls."""
    truth = json.loads((folder / "falls" / "truth.json").read_text())
    clips = []
    for name, entry in truth.items():
        boxes = [tuple(b[k] for k in ("at_s", "x_px", "y_px", "width_px", "height_px")) for b in entry["fall"]]
        images = [[tuple(b[k] for k in ("at_s", "x_px", "y_px", "width_px", "height_px")) for b in entry["reflection"]]] if entry.get("reflection") else []
        way = Way("falling_object", boxes)
        size = sorted(min(b[3:]) for b in boxes)[len(boxes) // 2]
        fall = Fall(way, [Way("reflection", b) for b in images], boxes[0][0], boxes[0][0], boxes[-1][0], None, None, size, True)
        seconds = entry["frames"] / entry["fps"]
        clips.append(Clip(f"falls/{name}", folder / "falls" / name, None, "day", [], seconds, entry["width_px"], entry["height_px"], [fall], [], ""))
    for path in sorted(p for p in (folder / "negatives").iterdir() if p.suffix in (".mp4", ".avi")):
        clips.append(Clip(f"negatives/{path.name}", path, None, "day", [], 0.0, 0, 0, [], [], ""))
    return clips
