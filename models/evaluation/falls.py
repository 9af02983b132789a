"""Falling objects: what `plumb replay` raises on facades that it was never shown, beside what happens in them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from . import facades, material
from .facades import Clip, Fall
from .figures import aim, percentile, rate, seconds, table
from .program import Program
from .shown import by_fall

SIZES = [("under 3 px", 0, 3), ("3 to 4 px", 3, 5), ("5 to 8 px", 5, 9), ("9 to 16 px", 9, 17), ("over 16 px", 17, 1e9)]
CONTRASTS = [("under 3: barely visible", 0, 3), ("3 to 6", 3, 6), ("6 to 12", 6, 12), ("over 12: plain", 12, 1e9)]
PLAIN = 5.0  # the size, px, from which on the aim is 95 %; from 3 px on it is 80 %
WAYS = [("as shipped", True, ()), ("without the verifier", True, ("--without", "verifier")), ("without the surprise score", True, ("--without", "surprise")),
        ("without floor lines", False, ()), ("without floor lines and verifier", False, ("--without", "verifier"))]
CAUSES = {"falling_object": "beside a fall", "drifting_object": "drifting bag, paper or cloth", "bird": "bird", "insect": "insect", "foliage_laundry": "foliage, laundry, cables",
          "rain_snow": "rain, snow, drips", "light_reflection": "light or glint", "traffic": "people, cars, drones, baskets on ropes", "reflection": "mirror image", "camera_shake": "camera shake", "nothing": "nothing that moves"}


# How far the stream shows a fall, as the share of its frames.
SHOWN = (("under a quarter of its frames", 0, 0.25), ("a quarter to a half", 0.25, 0.5), ("a half to three quarters", 0.5, 0.75), ("more", 0.75, 1.01))


@dataclass
class Judged:
    """A clip's alarms, sorted into right ones, second ones, ones for falls that do not count, and false ones."""

    clip: Clip
    found: dict[int, dict] = field(default_factory=dict)  # by the fall's place in the clip
    again: list[dict] = field(default_factory=list)
    aside: int = 0
    false: list[tuple[dict, str]] = field(default_factory=list)

    def rows(self) -> list[tuple[Fall, dict | None]]:
        """The falls that count, each with its alarm."""
        return [(fall, self.found.get(n)) for n, fall in enumerate(self.clip.falls) if fall.counts]


def judge(clip: Clip, alarms: list[dict]) -> Judged:
    out = Judged(clip)
    for alarm in sorted((a for a in alarms if a["kind"] == "falling_object"), key=lambda a: a["raised_at_s"]):
        fall = clip.whose(alarm)
        if fall is None:
            out.false.append((alarm, clip.cause(alarm)))
        elif not fall.counts:
            out.aside += 1
        elif (number := clip.falls.index(fall)) in out.found:
            out.again.append(alarm)
        else:
            out.found[number] = alarm
    return out


def run(program: Program, work: Path, count: int, jobs: int, real: Path | None, ablations: bool) -> dict:
    """Makes the clips, replays them, and returns the section: {"markdown": ..., "figures": ...}."""
    folder, made_by = material.facades(work, count, jobs)
    first = material.FACADES_FROM
    clips = [facades.read(folder, f"c{seed:06d}") for seed in range(first, first + count)]
    ways = WAYS if ablations else WAYS[:1]
    asked = [(clip.path, "facade", clip.scene if scene else None, options) for _, scene, options in ways for clip in clips]
    answers = program.replays(asked, "falls")
    judged = [[judge(clip, answer["alarms"]) for clip, answer in zip(clips, answers[n * count:])] for n in range(len(ways))]
    shipped = judged[0]
    hours = sum(clip.seconds for clip in clips) / 3600
    parts = [_made(clips, first, count, made_by, hours), _sizes(shipped), _contrasts(shipped), _shown(shipped), _lights(shipped), _kinds(shipped, hours), _false(shipped, hours), _times(shipped), _floors(shipped)]
    if ablations:
        parts.append(_earned([(name, rows) for (name, _, _), rows in zip(ways, judged)], hours))
    if real is not None and real.exists():
        parts.append(_real(program, real))
    parts.append(_missed(shipped))
    return {"markdown": "\n\n".join(p for p in parts if p), "aims": _aims(shipped)}


def _rows(judged: list[Judged]) -> list[tuple[Fall, dict | None]]:
    return [row for one in judged for row in one.rows()]


def _found(rows: list[tuple[Fall, dict | None]], least: float = 0, below: float = 1e9) -> str:
    group = [alarm for fall, alarm in rows if least <= fall.size_px < below]
    return rate(sum(alarm is not None for alarm in group), len(group))


def _made(clips: list[Clip], first: int, count: int, made_by: str, hours: float) -> str:
    falls = sum(fall.counts for clip in clips for fall in clip.falls)
    aside = sum(not fall.counts for clip in clips for fall in clip.falls)
    return (f"{count} clips of `python -m facade corpus --first-seed {first} --count {count}` (generator {made_by}), {hours * 60:.1f} minutes in all, each of another "
            f"building; no training uses seeds from {first} on. They are crowded on purpose: one to three kinds of clutter a clip, so that rates per camera-hour are those of an hour "
            f"in which something moves all the time. {falls} falls count: the picture shows them for {facades.SHOWN_LEAST_S} s at least, and {facades.SHOWN_AFTER_S} s after two "
            f"storeys, and the clip goes on for {facades.CLIP_AFTER_S} s from then; {aside} others do not count, and an alarm on one is neither right nor wrong. An alarm is right when half of its track lies on the way of the fall, or of its mirror "
            f"image, in place and time. Intervals are 95 % (Wilson).")


def _sizes(judged: list[Judged]) -> str:
    rows = _rows(judged)
    lines = []
    for name, least, below in [*SIZES, ("**5 px and more** (aim 95 %)", PLAIN, 1e9), ("**3 to 4 px** (aim 80 %)", 3, PLAIN)]:
        group = [(fall, alarm) for fall, alarm in rows if least <= fall.size_px < below]
        lines.append([name, rate(sum(a is not None for _, a in group), len(group)), _alone(judged, least, below)])
    return ("### Recall by size\nThe smaller side when two storeys have been fallen, as the camera sees it: blur and smear included. Two falls beside each other are one event to the "
            f"program, as a thing and its mirror image are: those that begin within {facades.TOGETHER_S} s and {facades.TOGETHER_SHARE:.0%} of the picture's width of another stand in the second column only.\n\n"
            + table(["size", "found", "found, of those with no other fall beside them"], lines))


def _alone(judged: list[Judged], least: float, below: float) -> str:
    group = [alarm for one in judged for fall, alarm in one.rows() if least <= fall.size_px < below and not one.clip.beside(fall)]
    return rate(sum(alarm is not None for alarm in group), len(group))


def _contrasts(judged: list[Judged]) -> str:
    rows = [(fall, alarm) for fall, alarm in _rows(judged) if fall.way.contrast is not None]
    lines = []
    for name, least, below in CONTRASTS:
        group = [(fall, alarm) for fall, alarm in rows if least <= fall.way.contrast < below]
        lines.append([name, _found(group, PLAIN), _found(group, 3, PLAIN)])
    return ("### Recall by contrast\nHow much the object changes the picture at most, in standard deviations of one frame's noise; the median along its way.\n\n"
            + table(["contrast", "5 px and more", "3 to 4 px"], lines)) if rows else ""


def _shown(judged: list[Judged]) -> str:
    share_of = {id(fall): share for one in judged for fall, share in by_fall(one.clip)}
    rows = [(share_of[id(fall)], fall, alarm) for fall, alarm in _rows(judged)]
    lines = []
    for name, least, below in SHOWN:
        group = [(fall, alarm) for share, fall, alarm in rows if least <= share < below]
        lines.append([name, _found(group, 5), _found(group, 3, 5)])
    return ("### Recall by what the stream shows\nOn how many of its frames whoever knew the way would see the fall in the decoded pictures: where the mean over its box, less the background's, "
            "stands out by three standard deviations from boxes of its size around it (shown.py). What hardly stands out was too faint for the camera or was lost in encoding: this does not tell which.\n\n"
            + table(["shown on", "5 px and more", "3 to 4 px"], lines))


def _lights(judged: list[Judged]) -> str:
    groups = defaultdict(list)
    for one in judged:
        groups[one.clip.light].append(one)
    lines = [[light, len(group), _found(_rows(group), PLAIN), _found(_rows(group), 3, PLAIN), sum(len(one.false) for one in group)] for light, group in sorted(groups.items())]
    return "### Recall by light\n" + table(["light", "clips", "5 px and more", "3 to 4 px", "false alarms"], lines)


def _kinds(judged: list[Judged], hours: float) -> str:
    """By weather, and by whatever else moves; a clip with two kinds stands in two rows."""
    groups = defaultdict(list)
    for one in judged:
        weather = [kind for kind in one.clip.kinds if kind in facades.WEATHER] or ["dry"]
        for kind in {*one.clip.kinds, *weather}:
            groups[kind].append(one)
    order = sorted(groups, key=lambda kind: (kind not in ("dry", *facades.WEATHER), kind))
    lines = [[kind, len(groups[kind]), _found(_rows(groups[kind]), PLAIN), _found(_rows(groups[kind]), 3, PLAIN), sum(len(one.false) for one in groups[kind])] for kind in order]
    return ("### Recall by weather and by what else moves\nA clip stands in the row of each kind that it holds; the first rows are the weather.\n\n"
            + table(["in the clip", "clips", "5 px and more", "3 to 4 px", "false alarms"], lines))


def _false(judged: list[Judged], hours: float) -> str:
    causes = Counter(cause for one in judged for _, cause in one.false)
    false, right, again = sum(causes.values()), sum(len(one.found) for one in judged), sum(len(one.again) for one in judged)
    lines = [[CAUSES.get(cause, cause), causes[cause], f"{causes[cause] / hours:.1f}"] for cause in {**CAUSES, **causes} if causes[cause] or cause not in ("falling_object", "reflection", "nothing")]
    lines.append(["**all**", false, f"{false / hours:.1f}"])
    return (f"### False alarms by cause\nOf {false + right + again} alarms {false} are false: {rate(false, false + right + again)} (aim 5 %). {again} are a second alarm for one fall. "
            f"The cause is what moved nearest to the alarm's track. {hours:.3f} camera-hours.\n\n" + table(["cause", "false alarms", "per camera-hour"], lines))


def _times(judged: list[Judged]) -> str:
    delays = [one.clip.raised_after(fall, alarm) for one in judged for fall, alarm in one.rows() if alarm]
    early = sum(d < 0 for d in delays)
    return ("### Delay\nFrom when the object has fallen two storeys and is in the picture to the frame that raises the alarm.\n\n"
            + table(["alarms", "median", "9 in 10 within", "longest", "within 1.0 s (aim: all)", "before two storeys"],
                    [[len(delays), f"{seconds(percentile(delays, .5))} s", f"{seconds(percentile(delays, .9))} s", f"{seconds(percentile(delays, 1))} s",
                      rate(sum(d <= 1.0 for d in delays), len(delays)), early]]))


def _floor_errors(judged: list[Judged]) -> tuple[list[tuple[int, int, int]], int]:
    """Told floor, least and most, each less the true one, of the falls found whose window is in the picture; and how many got no floor."""
    told = [(fall.floor, alarm["origin"] or {}) for fall, alarm in _rows(judged) if alarm is not None and fall.floor is not None]
    known = [tuple(origin[key] - floor for key in ("floor", "floor_min", "floor_max")) for floor, origin in told if origin.get("floor") is not None]
    return known, len(told) - len(known)


def _floors(judged: list[Judged]) -> str:
    errors, unknown = _floor_errors(judged)
    n = len(errors)
    width = f"{sum(high - low + 1 for _, low, high in errors) / n:.1f}" if n else "-"
    lines = [[n, rate(sum(e == 0 for e, _, _ in errors), n), rate(sum(abs(e) <= 1 for e, _, _ in errors), n), rate(sum(low <= 0 <= high for _, low, high in errors), n),
              width, max((abs(e) for e, _, _ in errors), default="-"), unknown]]
    return ("### Floor of origin\nOf the falls found whose window is in the picture.\n\n"
            + table(["falls", "exact (aim 90 %)", "within one (aim 99 %)", "interval covers the truth (aim 95 %)", "floors in the interval, mean", "largest error", "no floor given"], lines))


def _earned(ways: list[tuple[str, list[Judged]]], hours: float) -> str:
    lines = []
    for name, judged in ways:
        rows = _rows(judged)
        delays = [one.clip.raised_after(fall, alarm) for one in judged for fall, alarm in one.rows() if alarm]
        false = Counter(CAUSES.get(cause, cause) for one in judged for _, cause in one.false)
        most = ", ".join(f"{cause} {n}" for cause, n in false.most_common(3))
        lines.append([name, _found(rows, PLAIN), _found(rows, 3, PLAIN), sum(false.values()), f"{sum(false.values()) / hours:.1f}", most or "-",
                      sum(len(one.again) for one in judged), f"{seconds(percentile(delays, .5))} s"])
    return ("### What each part earns\nThe same clips with a part left out (`plumb replay --without`, or no `--scene`).\n\n"
            + table(["", "5 px and more", "3 to 4 px", "false alarms", "per camera-hour", "most of them from", "second alarms", "median delay"], lines))


def _real(program: Program, folder: Path) -> str:
    clips = facades.read_real(folder)
    answers = program.replays([(clip.path, "facade", None, ()) for clip in clips], "real clips")
    lines = []
    for clip, answer in zip(clips, answers):
        one = judge(clip, answer["alarms"])
        raised = ", ".join(f"{seconds(a['raised_at_s'] - clip.falls[n].way.times[0])} s after the first box of its truth" for n, a in sorted(one.found.items()))
        lines.append([clip.name, f"{answer['summary']['duration_s']:.0f} s", f"{len(one.found)} of {len(clip.falls)}" if clip.falls else "-", len(one.again), len(one.false), raised or "-"])
    return ("### Real clips\nNo training saw them. Without a scene, so without floors. Only the first two show a facade with falls; the last rows hold birds, people, a tree, cars, and two "
            "fast things that are no facade.\n\n" + table(["clip", "length", "falls found", "second alarms", "false alarms", "raised"], lines))


def _missed(judged: list[Judged]) -> str:
    lines = []
    for one in judged:
        for fall, alarm in one.rows():
            if alarm is None and fall.size_px >= 3:
                lines.append(f"- {one.clip.name}: {fall.size_px:.0f} px, {_stands_out(fall)}{one.clip.light}, beside {', '.join(one.clip.kinds) or 'nothing'}; released at {seconds(fall.released_s)} s, "
                             f"in the picture for {fall.left_s - fall.way.times[0]:.1f} s")
        for alarm, cause in one.false:
            lines.append(f"- {one.clip.name}: false alarm at {seconds(alarm['raised_at_s'])} s from {CAUSES.get(cause, cause)}, {one.clip.light}, score {alarm['score']:.2f}")
    small = sum(alarm is None and fall.size_px < 3 for one in judged for fall, alarm in one.rows())
    rest = f"\n\nAnd {small} falls of under 3 px." if small else ""
    return "### Missed falls and false alarms, one by one\n" + ("\n".join(lines) or "None.") + rest


def _stands_out(fall: Fall) -> str:
    return f"contrast {fall.way.contrast:.0f}, " if fall.way.contrast is not None else ""


def _aims(judged: list[Judged]) -> list[list[str]]:
    rows, floors = _rows(judged), _floor_errors(judged)[0]
    plain, small = ([alarm for fall, alarm in rows if least <= fall.size_px < below] for least, below in ((PLAIN, 1e9), (3, PLAIN)))
    delays = [one.clip.raised_after(fall, alarm) for one in judged for fall, alarm in one.rows() if alarm]
    false, again = sum(len(one.false) for one in judged), sum(len(one.again) for one in judged)
    alarms = false + again + sum(len(one.found) for one in judged)
    never = sum(cause in ("bird", "rain_snow", "foliage_laundry", "traffic") for one in judged for _, cause in one.false)
    covered = sum(low <= 0 <= high for _, low, high in floors)
    return [aim("falls of 5 px and more found", "95 %", sum(a is not None for a in plain), len(plain), least=.95),
            aim("falls of 3 to 4 px found", "80 %", sum(a is not None for a in small), len(small), least=.8),
            aim("alarms that are false", "at most 5 %", false, alarms, most=.05),
            aim("alarms on birds, rain, foliage, traffic", "none", never, alarms, most=0),
            aim("alarms that are a second one for a fall", "none", again, alarms, most=0),
            aim("raised within 1.0 s of two storeys", "all", sum(d <= 1.0 for d in delays), len(delays), least=1),
            aim("floor exact", "90 %", sum(e == 0 for e, _, _ in floors), len(floors), least=.9),
            aim("floor within one", "99 %", sum(abs(e) <= 1 for e, _, _ in floors), len(floors), least=.99),
            aim("floor interval covers the truth", "95 %", covered, len(floors), least=.95)]
