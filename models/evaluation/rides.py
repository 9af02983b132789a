"""Whole rides: what `plumb replay --kind elevator` raises on clips of cars that nobody tuned it for."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from . import material
from .figures import aim, percentile, rate, seconds, table
from .program import Program

RAISED_WITHIN_S, ENDED_WITHIN_S = 2.0, 6.0
REPEATS = 3  # how often a clip of ordinary passengers shows its ride
NAMES = {"ebike": "an e-bike's ride, outside of its time", "bicycle": "bicycle", "pram": "pram", "wheelchair": "wheelchair", "other": "trolley, cart, kick scooter, suitcase",
         "passengers": "people", "crowd": "crowd", "landing": "e-bike that stays on the landing"}
GONE_S = 5.0  # an alarm tells when the e-bike was last seen; that it has ended is known so much later (src/alarm/ebike.rs)
EARLY_S = 0.5  # before it is seen at the door nothing may be raised


@dataclass
class Clip:
    """A clip, the rides that must alarm (at_door_s, half_inside_at_s, left_at_s), and what is in it."""

    name: str
    path: Path
    scene: Path
    seconds: float
    rides: list[dict]
    kind: str
    things: list[str]
    story: int | None = None  # the rendered ride that it repeats, for passengers


@dataclass
class Judged:
    clip: Clip
    found: dict[int, dict]
    again: list[dict]
    false: list[dict]


def read(folder: Path, names: set[str]) -> list[Clip]:
    """The clips of these names in a folder: <name>.mp4, .scene.toml, .toml."""
    out = []
    for path in (folder / f"{name}.mp4" for name in sorted(names)):
        expected = tomllib.loads(path.with_suffix(".toml").read_text())
        kind = expected["description"].partition(":")[0]
        out.append(Clip(path.stem, path, path.with_suffix(".scene.toml"), float(expected["duration_s"]), expected.get("alarm", []), kind, expected.get("things", []),
                        expected.get("story")))
    return out


def judge(clip: Clip, alarms: list[dict]) -> Judged:
    """An alarm belongs to the ride during which it is raised."""
    out = Judged(clip, {}, [], [])
    for alarm in sorted((a for a in alarms if a["kind"] == "ebike_in_elevator"), key=lambda a: a["raised_at_s"]):
        ends = [ride.get("left_at_s", clip.seconds) for ride in clip.rides]
        number = next((n for n, ride in enumerate(clip.rides) if ride["at_door_s"] - EARLY_S <= alarm["raised_at_s"] <= ends[n] + 1), None)
        if number is None:
            out.false.append(alarm)
        elif number in out.found:
            out.again.append(alarm)
        else:
            out.found[number] = alarm
    return out


def run(program: Program, work: Path, count: int, stories: int, jobs: int) -> dict:
    """Makes the clips, replays them, and returns the section."""
    folder, made_by = material.rides(work, count, jobs)
    first = material.RIDES_FROM
    judged = _judged(program, read(folder, {f"ride_{seed:06d}" for seed in range(first, first + count)}))
    ordinary = material.passengers(work, stories, REPEATS, jobs)
    people = _judged(program, read(ordinary, {f"passengers_{seed:06d}_{n}" for seed in range(first, first + stories) for n in range(4)}))
    hours = sum(one.clip.seconds for one in judged) / 3600
    rides = sum(len(one.clip.rides) for one in judged)
    parts = [f"{count} clips of `elevator_clips.py rides --first-seed {first} --count {count}` (generator {made_by}), {hours * 60:.1f} minutes in all: {rides} rides of an e-bike, and "
             f"{sum(not one.clip.rides for one in judged)} clips without one. Replayed with the car's floor as the scene. Intervals are 95 % (Wilson)."]
    parts += [_found(judged), _by_thing(judged), _false(judged, hours), _ordinary(people, stories), _missed([*judged, *people])]
    return {"markdown": "\n\n".join(p for p in parts if p), "aims": _aims(judged, people)}


def _aims(judged: list[Judged], people: list[Judged]) -> list[list[str]]:
    delays, ends, of = _times(judged)
    idle = [one for one in [*judged, *people] if not one.clip.rides]
    return [aim("rides of an e-bike with an alarm", "all", len(delays), of, least=1),
            aim("rides with a second alarm", "none", sum(len(one.again) for one in judged), of, most=0),
            aim("raised within 2 s of half of it being inside", "all", sum(d <= RAISED_WITHIN_S for d in delays), of, least=1),
            aim("ended within 6 s of its leaving", "all", sum(e <= ENDED_WITHIN_S for e in ends), len(ends), least=1),
            aim("clips without an e-bike's ride that raise an alarm", "none", sum(bool(one.false) for one in idle), len(idle), most=0)]


def _times(judged: list[Judged]) -> tuple[list[float], list[float], int]:
    """Seconds from half inside to the alarm, seconds from having left to the end of the alarm (where the clip shows it), and how many rides there are."""
    delays, ends = [], []
    for one in judged:
        for number, alarm in one.found.items():
            ride = one.clip.rides[number]
            delays.append(alarm["raised_at_s"] - ride["half_inside_at_s"])
            if "left_at_s" in ride and ride["left_at_s"] + ENDED_WITHIN_S <= one.clip.seconds and alarm["ended_at_s"] is not None:
                ends.append(alarm["ended_at_s"] + GONE_S - ride["left_at_s"])
    return delays, ends, sum(len(one.clip.rides) for one in judged)


def _judged(program: Program, clips: list[Clip]) -> list[Judged]:
    answers = program.replays([(clip.path, "elevator", clip.scene, ()) for clip in clips], "rides")
    return [judge(clip, answer["alarms"]) for clip, answer in zip(clips, answers)]


def _found(judged: list[Judged]) -> str:
    delays, ends, of = _times(judged)
    lines = [["rides with an alarm (aim: all)", rate(len(delays), of)],
             ["second alarms for one ride (aim: none)", sum(len(one.again) for one in judged)],
             [f"raised within {RAISED_WITHIN_S:.0f} s of half the vehicle being inside", rate(sum(d <= RAISED_WITHIN_S for d in delays), of)],
             ["raised after half is inside: median, 9 in 10, longest", ", ".join(f"{seconds(percentile(delays, q))} s" for q in (.5, .9, 1))],
             ["raised before half is inside", sum(d < 0 for d in delays)],
             [f"ended no more than {ENDED_WITHIN_S:.0f} s after it has left, of those whose end the clip shows", rate(sum(e <= ENDED_WITHIN_S for e in ends), len(ends))],
             ["ended after it has left: least, median, most", ", ".join(f"{seconds(percentile(ends, q))} s" for q in (0, .5, 1))],
             ["ended while it was still there", sum(e < 0 for e in ends)]]
    return "### Rides\n" + table(["", ""], lines)


def _by_thing(judged: list[Judged]) -> str:
    """Rides of an e-bike by what else is in the clip."""
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        if one.clip.rides:
            for thing in set(one.clip.things) - {"ebike"} or {"nothing else"}:
                groups.setdefault(thing, []).append(one)
    lines = [[thing, rate(sum(len(one.found) for one in group), sum(len(one.clip.rides) for one in group))] for thing, group in sorted(groups.items())]
    return "### Rides by what else is in the clip\nA ride stands in the row of each.\n\n" + table(["beside the e-bike", "rides with an alarm"], lines)


def _false(judged: list[Judged], hours: float) -> str:
    kinds: dict[str, list[Judged]] = {}
    for one in judged:
        kinds.setdefault(one.clip.kind, []).append(one)
    lines = []
    for kind, group in sorted(kinds.items()):
        length = sum(one.clip.seconds for one in group) / 3600
        false = sum(len(one.false) for one in group)
        lines.append([NAMES.get(kind, kind), len(group), false, f"{false / length:.1f}"])
    total = sum(len(one.false) for one in judged)
    return (f"### False alarms by what is in the car\n{total} in {hours:.3f} camera-hours, in all of which something is going on.\n\n"
            + table(["in the clip", "clips", "false alarms", "per camera-hour"], [*lines, ["**all**", len(judged), total, f"{total / hours:.1f}" if hours else "-"]]))


def _ordinary(people: list[Judged], stories: int) -> str:
    if not people:
        return ""
    hours = sum(one.clip.seconds for one in people) / 3600
    false = sum(len(one.false) for one in people)
    wrong = len({one.clip.story for one in people if one.false})
    return (f"### Ordinary passengers\n{hours:.2f} camera-hours of people without anything on wheels, {len(people)} clips out of {stories} rendered rides: each is repeated, mirrored and lit "
            f"anew, with an empty car between, so that only the rides are independent. False alarms: {false}, in {rate(wrong, stories)} of the rides.")


def _missed(judged: list[Judged]) -> str:
    lines = [f"- {one.clip.name} ({', '.join(one.clip.things)}): no alarm for the ride from {ride['at_door_s']} s" for one in judged for n, ride in enumerate(one.clip.rides) if n not in one.found]
    lines += [f"- {one.clip.name} ({', '.join(one.clip.things)}): false alarm at {seconds(alarm['raised_at_s'])} s, score {alarm['score']:.2f}" for one in judged for alarm in one.false]
    return "### Missed rides and false alarms, one by one\n" + ("\n".join(lines) or "None.")
