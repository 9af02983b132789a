"""Draws what a stream costs against the number of streams, the resolution, and how often the detector looks: three SVG files in
benches/charts, with the figures in them as text.

    python benches/charts.py target/release/plumb --seconds 20

Each point is a run of `plumb bench`, processor time of one core. The line is the straight one that fits best, for streams through the
origin; how far the points lie from it is how far the cost is from linear.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VIDEO = HERE.parent / "fixtures/video"
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 400, 70, 60, 50, 24
SIZES = [(640, 360), (1280, 720), (1920, 1080), (2560, 1440)]
# Seconds of so many during which somebody moves in the car. It is looked into often for five more.
PERIOD = 24
IN_USE = [0, 2, 6, 12, 24]


def cost(plumb: Path, seconds: int, *options: str) -> dict:
    command = [plumb, "bench", "--seconds", str(seconds), "--json", *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def ffmpeg(*options: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *options], check=True)


def of_streams(plumb: Path, seconds: int, most: int) -> list[tuple[float, float]]:
    counts = [n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if n <= most]
    found = [cost(plumb, seconds, "--kind", "facade", "--activity", "quiet", "--streams", str(n)) for n in counts]
    return [(float(n), figures["cpu_s_per_stream_s"] * n) for n, figures in zip(counts, found)]


def of_pixels(plumb: Path, seconds: int, folder: Path) -> list[tuple[float, float]]:
    points = []
    for width, height in SIZES:
        clip = folder / f"{height}.mp4"
        ffmpeg("-i", str(VIDEO / "facade_day_fall.mp4"), "-vf", f"scale={width}:{height}", "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-g", "50", str(clip))
        figures = cost(plumb, seconds, "--kind", "facade", "--activity", "quiet", "--clip", str(clip), "--streams", "1")
        points.append((width * height / 1e6, figures["cpu_s_per_stream_s"]))
    return points


def of_looks(plumb: Path, seconds: int, folder: Path) -> list[tuple[float, float]]:
    """Passengers for some seconds of each period, over and over, and a still picture for the rest: no alarm, and looks as the rules want them."""
    points = []
    for moving in IN_USE:
        clip = folder / f"use{moving}.mp4"
        shown = f"fps=25,trim=0:{max(moving, 0.1)},setpts=PTS-STARTPTS,tpad=stop_mode=clone:stop_duration={PERIOD - moving}"
        ffmpeg("-stream_loop", "9", "-i", str(VIDEO / "elevator_passengers.mp4"), "-vf", shown, "-c:v", "libx264", "-preset", "veryfast", "-g", "50", str(clip))
        figures = cost(plumb, max(seconds, PERIOD), "--kind", "elevator", "--clip", str(clip), "--streams", "2")
        points.append((figures["looks_per_stream_s"], figures["cpu_s_per_stream_s"]))
    return points


def chart(title: str, across: str, up: str, points: list[tuple[float, float]], through_origin: bool) -> str:
    most_x, most_y = max(x for x, _ in points) * 1.08, max(y for _, y in points) * 1.15
    place_x = lambda x: LEFT + x / most_x * (WIDTH - LEFT - RIGHT)
    place_y = lambda y: HEIGHT - BOTTOM - y / most_y * (HEIGHT - BOTTOM - TOP)
    if through_origin:
        slope, start = sum(x * y for x, y in points) / sum(x * x for x, _ in points), 0.0
    else:
        mean_x, mean_y = sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
        slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
        start = mean_y - slope * mean_x
    off = max(abs(y / (start + slope * x) - 1) for x, y in points)
    text = lambda x, y, words, anchor="middle", more="": f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{more}>{words}</text>'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text(WIDTH / 2, 24, title, more=' font-size="16"'),
        text(WIDTH / 2, HEIGHT - 14, across),
        f'<g transform="translate(18 {HEIGHT / 2}) rotate(-90)">{text(0, 0, up)}</g>',
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#333"/>',
        f'<path d="M{place_x(0):.0f} {place_y(start):.0f}L{place_x(most_x):.0f} {place_y(start + slope * most_x):.0f}" stroke="#888" stroke-dasharray="4 4"/>',
        text(WIDTH - RIGHT, HEIGHT - BOTTOM - 10, f"farthest from the line: {off:.0%}", "end"),
    ]
    for x, y in points:
        parts.append(f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="4.5" fill="#1565c0"/>')
        parts.append(text(place_x(x), place_y(y) - 10, f"{y:.3f}"))
        parts.append(text(place_x(x), HEIGHT - BOTTOM + 18, f"{x:g}" if x == int(x) else f"{x:.2f}"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plumb", type=Path)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--streams", type=int, default=8, help="the most")
    args = parser.parse_args()
    up = "cores"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        charts = {
            "streams": chart("Quiet facades, 1080p25 H.264", "streams", up, of_streams(args.plumb, args.seconds, args.streams), True),
            "resolution": chart("One quiet facade, 25 frames a second, H.264", "million pixels a frame", up, of_pixels(args.plumb, args.seconds, folder), False),
            "looks": chart("One elevator, 640x360", "looks of the detector a second", up, of_looks(args.plumb, args.seconds, folder), False),
        }
    (HERE / "charts").mkdir(exist_ok=True)
    for name, svg in charts.items():
        (HERE / f"charts/{name}.svg").write_text(svg)
        print(f"benches/charts/{name}.svg")


if __name__ == "__main__":
    main()
