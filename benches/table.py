"""Writes what `cargo bench` has just measured, and a few runs of `plumb bench`, as one table, beside the figures kept from before.

    python benches/table.py target/release/plumb            # writes target/bench.md
    python benches/table.py target/release/plumb --keep     # and keeps the ratios in benches/kept.toml

Only ratios are kept and compared: a stage's time over that of decoding one 1080p picture, both of this run. They hold, within a
fifth or so, on another machine; times do not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
KEPT = HERE / "kept.toml"
DECODE = "decode/facade_day_fall.mp4"
# A ratio that is further off than this share is pointed at.
FAR = 0.2
# With how many cameras the service is started.
CAMERAS = 16
RUNS = [
    ["--kind", "facade", "--activity", "quiet"],
    ["--kind", "facade", "--activity", "busy"],
    ["--kind", "elevator", "--activity", "quiet"],
    ["--kind", "elevator", "--activity", "busy"],
]


def stages() -> dict[str, float]:
    """Microseconds a picture (a call, where it has none) of each bench of the newest run, the median."""
    found = {}
    for estimates in sorted((ROOT / "target/criterion").glob("**/new/estimates.json")):
        bench = json.loads((estimates.parent / "benchmark.json").read_text())
        pictures = (bench.get("throughput") or {}).get("Elements", 1)
        median_ns = json.loads(estimates.read_text())["median"]["point_estimate"]
        found[bench["full_id"]] = median_ns / 1000 / pictures
    if DECODE not in found:
        raise SystemExit(f"there is no figure of {DECODE}: run `cargo bench` first")
    return found


def machine(plumb: Path) -> list[str]:
    """What the figures come from, a line each."""
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown")
    said = lambda *command: (subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines() or ["unknown"])[0]
    return [
        f"{cpu}, {len(os.sched_getaffinity(0))} cores; Linux {platform.release()}",
        f"{said(plumb, '--version')}; {said('rustc', '--version')}; {said('ffmpeg', '-version')}",
        f"load average {os.getloadavg()[0]:.1f} while this was written; {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
    ]


def start(plumb: Path, cameras: int) -> list[float]:
    """Seconds until /readyz says yes: of a first start (database, keys and the admin's password are made) and of a second."""
    video, seconds = ROOT / "fixtures/video", []
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        text = f'[http]\nlisten = "{address}"\n[[site]]\nid = "bench"\n'
        for number in range(cameras):
            kind, clip = [("facade", "facade_day_fall"), ("elevator", "elevator_ebike_ride")][number % 2]
            text += f'[[camera]]\nid = "camera-{number}"\nsite = "bench"\nkind = "{kind}"\nurl = "file:{video}/{clip}.mp4"\nscene = "{video}/{clip}.scene.toml"\n'
        config = Path(folder) / "plumb.toml"
        config.write_text(text)
        for _ in range(2):
            began = time.monotonic()
            service = subprocess.Popen([plumb, "run", "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while not is_ready(address) and service.poll() is None and time.monotonic() - began < 60:
                time.sleep(0.005)
            seconds.append(time.monotonic() - began)
            service.terminate()
            service.wait(30)
    return seconds


def is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def kept() -> dict[str, float]:
    return tomllib.loads(KEPT.read_text())["ratio"] if KEPT.exists() else {}


def compared(name: str, ratio: float, before: dict[str, float]) -> str:
    if not before.get(name):
        return "new"
    change = ratio / before[name] - 1
    return f"{before[name]:.3f} ({change:+.0%}{' **far**' if abs(change) > FAR else ''})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plumb", type=Path)
    parser.add_argument("--seconds", type=int, default=30, help="of each run of plumb bench; 0 for none")
    parser.add_argument("--streams", type=int, default=2)
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    found, before, ratios = stages(), kept(), {}
    lines = ["# Bench", *machine(args.plumb), "", "| stage | µs a picture or call | times decoding | kept from before |", "| --- | --- | --- | --- |"]
    for name, us in found.items():
        ratios[name] = us / found[DECODE]
        lines.append(f"| {name} | {us:,.1f} | {ratios[name]:.3f} | {compared(name, ratios[name], before)} |")
    if args.seconds:
        lines += ["", "| plumb bench | CPU s a stream and second | times decoding | kept | times decoding at the pace of cameras | frames dropped | frame judged p99 ms | alarms, p99 ms | MiB a stream |"]
        lines.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for run in RUNS if args.seconds else []:
        command = [args.plumb, "bench", *run, "--streams", str(args.streams), "--seconds", str(args.seconds), "--json"]
        figures = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        name, ratio = f"plumb bench {' '.join(run)}", figures["cpu_ratio_to_decode"]
        ratios[name] = ratio
        lines.append(f"| {' '.join(run)} | {figures['cpu_s_per_stream_s']} | {ratio} | {compared(name, ratio, before)} "
                     f"| {figures['cpu_ratio_to_live_decode']} | {figures['frames_dropped']} "
                     f"| {figures['latency_ms']['p99']} | {figures['alarms']}, {figures['alarm_delay_ms']['p99']} | {figures['rss_mib'] / args.streams:.0f} |")
    first, second = start(args.plumb, CAMERAS)
    lines += ["", f"Ready with {CAMERAS} cameras: {first:.2f} s after a first start, {second:.2f} s after a second (to reach: 2 s)."]
    text = "\n".join(lines) + "\n"
    (ROOT / "target/bench.md").write_text(text)
    print(text, end="")
    if args.keep:
        head = "# Times of decoding one 1080p picture in the same run; written by `python benches/table.py target/release/plumb --keep`.\n[ratio]\n"
        KEPT.write_text(head + "".join(f"{json.dumps(name)} = {ratio:.4g}\n" for name, ratio in sorted(ratios.items())))


if __name__ == "__main__":
    main()
