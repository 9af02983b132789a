"""Measures the shipped program and writes models/EVALUATION.md.

    cd models && python -m evaluation all            # everything; a run that was stopped goes on where it was
    cd models && python -m evaluation falls report   # one section again, and the file

Sections: falls, ebike, rides, models; report joins those that were measured; gates makes fixtures/gates anew. Needs the built program (`make build`) and what the
generators need (models/training/README.md).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from . import costs, falls, gates, pictures, report, rides
from .program import ROOT, Program

SECTIONS = ("falls", "ebike", "rides", "models", "report")
# Clips of facades, pictures of elevators, clips of elevators, rides of ordinary passengers.
COUNTS, QUICK = (120, 600, 48, 24), (12, 60, 5, 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="evaluation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="+", choices=["all", "gates", *SECTIONS], metavar="SECTION")
    parser.add_argument("--quick", action="store_true", help="a tenth of the material, to see that all works; writes no EVALUATION.md")
    parser.add_argument("--facades", type=int, help="clips of facades")
    parser.add_argument("--pictures", type=int, help="pictures of elevators")
    parser.add_argument("--rides", type=int, help="clips of elevators")
    parser.add_argument("--stories", type=int, help="rides of ordinary passengers, each shown twelve times")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many programs run at a time")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "plumb")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of models.toml and its files")
    parser.add_argument("--real", type=Path, default=ROOT.parent / "shared" / "data", help="folder of real sets and clips, used where it exists")
    parser.add_argument("--work", type=Path, default=ROOT / "data" / "evaluation", help="where the material and the answers are kept")
    parser.add_argument("--out", type=Path, help="default models/EVALUATION.md")
    args = parser.parse_args()
    work = (args.work / "quick" if args.quick else args.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    wanted = SECTIONS if "all" in args.sections else tuple(s for s in SECTIONS if s in args.sections)
    clips, images, trips, stories = (given or count for given, count in zip((args.facades, args.pictures, args.rides, args.stories), QUICK if args.quick else COUNTS))
    if "gates" in args.sections:
        gates.run(work)
    program = Program(args.binary, args.models, work, args.jobs)
    measured = {"falls": lambda: falls.run(program, args.work.resolve(), clips, args.jobs, args.real / "falling", not args.quick),
                "ebike": lambda: pictures.run(program, args.work.resolve(), images, args.jobs, args.real / "ebike"),
                "rides": lambda: rides.run(program, args.work.resolve(), trips, stories, args.jobs), "models": lambda: costs.run(program)}
    for name in wanted:
        if name in measured:
            report.keep(work, name, measured[name](), program)
    if "report" in wanted:
        report.write(work, program, args.out or (work if args.quick else ROOT / "models") / "EVALUATION.md")


if __name__ == "__main__":
    main()
