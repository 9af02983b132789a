"""Runs N busy streams for a long while and watches the memory: it must not grow once the first tenth of the time is over.

    python benches/soak.py target/release/plumb --streams 4 --minutes 60

Samples the resident memory every 10 s. Fails when the median of the last tenth is more than the stated share above that of the
second tenth, or when a frame was dropped. The alarms' evidence lies where temporary files do until the end: some 3 MB an alarm.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path

SAMPLE_S = 10


def resident_mib(pid: int) -> float | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return None
    line = next((line for line in status.splitlines() if line.startswith("VmRSS:")), None)
    return int(line.split()[1]) / 1024 if line else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plumb", type=Path)
    parser.add_argument("--kind", choices=["facade", "elevator"], default="facade")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--grow", type=float, default=0.1, help="share by which the memory may grow")
    args = parser.parse_args()
    seconds = max(int(args.minutes * 60), 20 * SAMPLE_S)
    command = [args.plumb, "bench", "--kind", args.kind, "--streams", str(args.streams), "--seconds", str(seconds), "--json"]
    bench = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    samples, began = [], time.monotonic()
    while bench.poll() is None and time.monotonic() - began < seconds:
        time.sleep(SAMPLE_S)
        if (mib := resident_mib(bench.pid)) is not None:
            samples.append(mib)
            print(f"{time.monotonic() - began:6.0f} s  {mib:7.1f} MiB", flush=True)
    said, _ = bench.communicate(timeout=120)
    if bench.returncode or len(samples) < 20:
        raise SystemExit(f"plumb bench ended early (exit code {bench.returncode})")
    figures, tenth = json.loads(said), len(samples) // 10
    before, after = statistics.median(samples[tenth : 2 * tenth]), statistics.median(samples[-tenth:])
    grown = after / before - 1
    print(f"{args.streams} streams for {seconds / 60:.0f} min: {before:.0f} MiB after a tenth of the time, {after:.0f} MiB at the end ({grown:+.1%}), "
          f"most {max(samples):.0f}; {figures['alarms']} alarms received, {figures['frames_dropped']} frames dropped")
    if grown > args.grow:
        raise SystemExit(f"the memory grew by more than {args.grow:.0%}")
    if figures["frames_dropped"]:
        raise SystemExit("frames were dropped: fewer streams, or less beside them")


if __name__ == "__main__":
    main()
