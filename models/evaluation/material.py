"""The material that is generated for the evaluation, from seeds that no training uses.

It lies in the work folder under a hash of the programs that make it: a changed generator makes new material, and a run that was
stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .program import ROOT

GENERATE = ROOT / "fixtures" / "generate"
TRAINING = ROOT / "models" / "training"
FACADES_FROM, PICTURES_FROM, RIDES_FROM = 110_000, 900_000, 900_000


def version(sources: list[Path]) -> str:
    """Eight digits that name the state of the programs that make a kind of material."""
    text = hashlib.sha256()
    for path in sorted(sources):
        text.update(path.name.encode() + b"\n" + path.read_bytes())
    return text.hexdigest()[:8]


def facades(work: Path, count: int, jobs: int) -> tuple[Path, str]:
    """The folder of held-out facade clips, made as far as they are missing, and its generator's version."""
    made_by = version(list((GENERATE / "facade").glob("*.py")))
    out = work / f"facades-{made_by}"
    command = [sys.executable, "-m", "facade", "corpus", "--out", str(out)]
    _in_parts(command, FACADES_FROM, count, jobs, lambda seed: (out / f"c{seed:06d}.truth.json").exists())
    return out, made_by


def pictures(work: Path, count: int, jobs: int) -> tuple[Path, str]:
    """The folder of held-out elevator pictures: `images/` and YOLO `labels/`."""
    made_by = version([*GENERATE.glob("elevator_*.py"), TRAINING / "ebike_render.py"])
    out = work / f"pictures-{made_by}"
    command = [sys.executable, str(TRAINING / "ebike_render.py"), "--out", str(out), "--first", str(PICTURES_FROM), "--count", str(count), "--workers", str(jobs)]
    if not all((out / "labels" / f"{n:06d}.txt").exists() for n in range(PICTURES_FROM, PICTURES_FROM + count)):
        subprocess.run(command, check=True)
    return out, made_by


def rides(work: Path, count: int, jobs: int) -> tuple[Path, str]:
    """The folder of held-out elevator clips: rides of e-bikes, and of all that is none."""
    made_by = version(list(GENERATE.glob("elevator_*.py")))
    out = work / f"rides-{made_by}"
    command = [sys.executable, str(GENERATE / "elevator_clips.py"), "rides", "--out", str(out)]
    _in_parts(command, RIDES_FROM, count, jobs, lambda seed: (out / f"ride_{seed:06d}.toml").exists())
    return out, made_by


def passengers(work: Path, stories: int, repeats: int, jobs: int) -> Path:
    """The folder of ordinary passengers: each story is one rendered ride without wheels, in four files that repeat it."""
    out = work / f"passengers-{version(list(GENERATE.glob('elevator_*.py')))}-{repeats}"
    command = [sys.executable, str(GENERATE / "elevator_clips.py"), "passengers", "--out", str(out), "--repeats", str(repeats)]
    _in_parts(command, RIDES_FROM, stories, jobs, lambda seed: (out / f"passengers_{seed:06d}_3.toml").exists())
    return out


def _in_parts(command: list[str], first: int, count: int, jobs: int, is_made) -> None:
    """Runs a generator on stretches of the seeds that are missing, `jobs` at a time: short ones, so that all finish together."""
    missing = [seed for seed in range(first, first + count) if not is_made(seed)]
    length = max(1, min(4, -(-len(missing) // jobs)))
    parts: list[list[int]] = []
    for seed in missing:
        if parts and len(parts[-1]) < length and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])

    def make(part: list[int]) -> int:
        subprocess.run([*command, "--first-seed", str(part[0]), "--count", str(len(part))], check=True, cwd=GENERATE, stdout=subprocess.DEVNULL)
        return len(part)

    made = 0
    with ThreadPoolExecutor(jobs) as pool:
        for n in pool.map(make, parts):
            made += n
            print(f"made {made} of {len(missing)} clips", flush=True)
