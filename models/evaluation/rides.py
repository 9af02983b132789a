"""Whole rides: what `plumb replay --kind elevator` raises on clips of cars that nobody tuned it for."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import material
from .figures import percentile, rate, seconds, table
from .program import Program

RAISED_WITHIN_S, ENDED_WITHIN_S = 2.0, 6.0
EARLY_S = 0.5  # before it is seen at the door nothing may be raised


@dataclass
class Clip:
    """A clip, the rides that must alarm (at_door_s, half_inside_at_s, left_at_s), and what is in it."""

    name: str
    path: Path
    scene: Path
    seconds: float
    rides: list[dict]
    things: list[str]


@dataclass
class Judged:
    clip: Clip
    found: dict[int, dict]
    again: list[dict]
    false: list[dict]


def read(folder: Path) -> list[Clip]:
    """The clips of a folder: <name>.mp4, .scene.toml, .toml."""
    out = []
    for path in sorted(folder.glob("*.mp4")):
        expected = tomllib.loads(path.with_suffix(".toml").read_text())
        things = expected.get("things") or [expected["description"]]
        out.append(Clip(path.stem, path, path.with_suffix(".scene.toml"), float(expected["duration_s"]), expected.get("alarm", []), sorted(set(things))))
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


def run(program: Program, work: Path, count: int, jobs: int) -> dict:
    """Makes the clips, replays them, and returns the section."""
    folder, made_by = material.rides(work, count, jobs)
    clips = read(folder)[:count]
    judged = [judge(clip, answer["alarms"]) for clip, answer in zip(clips, program.replays([(c.path, "elevator", c.scene, ()) for c in clips], "rides"))]
    hours = sum(c.seconds for c in clips) / 3600
    rides = sum(len(c.rides) for c in clips)
    parts = [f"{len(clips)} clips of `elevator_clips.py` from seed {material.RIDES_FROM} on (generator {made_by}), {hours * 60:.1f} minutes in all: {rides} rides of an e-bike, and "
             f"{sum(not c.rides for c in clips)} clips without one. Replayed with the car's floor as the scene."]
    parts += [_found(judged), _false(judged, hours), _missed(judged)]
    figures = {"rides": rides, "found": sum(len(j.found) for j in judged), "false": sum(len(j.false) for j in judged), "hours": hours}
    return {"markdown": "\n\n".join(parts), "figures": figures}


def _found(judged: list[Judged]) -> str:
    delays, ends, of = [], [], 0
    for one in judged:
        of += len(one.clip.rides)
        for number, alarm in one.found.items():
            ride = one.clip.rides[number]
            delays.append(alarm["raised_at_s"] - ride["half_inside_at_s"])
            if "left_at_s" in ride and ride["left_at_s"] + ENDED_WITHIN_S <= one.clip.seconds and alarm["ended_at_s"] is not None:
                ends.append(alarm["ended_at_s"] - ride["left_at_s"])
    lines = [["rides with an alarm (aim: all)", rate(len(delays), of)],
             ["second alarms for one ride (aim: none)", sum(len(one.again) for one in judged)],
             [f"raised within {RAISED_WITHIN_S:.0f} s of half the vehicle being inside", rate(sum(d <= RAISED_WITHIN_S for d in delays), of)],
             ["raised after half is inside: median, 9 in 10, longest", ", ".join(f"{seconds(percentile(delays, q))} s" for q in (.5, .9, 1))],
             ["raised before half is inside", sum(d < 0 for d in delays)],
             [f"ended no more than {ENDED_WITHIN_S:.0f} s after it has left, of those whose end the clip shows", rate(sum(e <= ENDED_WITHIN_S for e in ends), len(ends))],
             ["told end less true end: least, median, most", ", ".join(f"{seconds(percentile(ends, q))} s" for q in (0, .5, 1))],
             ["ended early, by more than 3 s", sum(e < -3 for e in ends)]]
    return "### Rides\n" + table(["", ""], lines)


def _false(judged: list[Judged], hours: float) -> str:
    clips, alarms = Counter(), Counter()
    for one in judged:
        if not one.clip.rides:
            what = ", ".join(one.clip.things)
            clips[what] += 1
            alarms[what] += len(one.false)
    beside = sum(len(one.false) for one in judged if one.clip.rides)
    total = beside + sum(alarms.values())
    lines = [[what, clips[what], alarms[what]] for what in sorted(clips)]
    lines += [["outside of the ride in clips with an e-bike", sum(bool(one.clip.rides) for one in judged), beside], ["**all**", len(judged), total]]
    return f"### False alarms by what is in the car\n{total} in {hours:.3f} camera-hours.\n\n" + table(["in the clip", "clips", "false alarms"], lines)


def _missed(judged: list[Judged]) -> str:
    lines = [f"- {one.clip.name} ({', '.join(one.clip.things)}): no alarm for the ride from {ride['at_door_s']} s" for one in judged for n, ride in enumerate(one.clip.rides) if n not in one.found]
    lines += [f"- {one.clip.name} ({', '.join(one.clip.things)}): false alarm at {seconds(alarm['raised_at_s'])} s, score {alarm['score']:.2f}" for one in judged for alarm in one.false]
    return "### Missed rides and false alarms, one by one\n" + ("\n".join(lines) or "None.")
