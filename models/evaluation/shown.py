"""How much of a fall the decoded stream shows: what is small and faint drowns in noise or is lost in encoding.

Whoever knew the way would look there: on each frame the mean over the thing's box less the background's, beside that of boxes of the
same size around it. A fall is shown on a frame where it stands out from them by three standard deviations.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import cv2
import numpy as np

from .facades import Clip, Fall, Way

STANDS_OUT = 3.0  # standard deviations of the boxes around
AROUND_PX = 60  # how far around they lie
GREY_LEAST = 0.25  # the least deviation that is believed of one pixel: an encoder leaves blocks without any noise


def shown(clip: Clip) -> list[float]:
    """For each fall of the clip that counts, the share of its frames on which it is shown. Kept beside the clip."""
    kept = clip.path.with_suffix(".shown.json")
    if kept.exists():
        return json.loads(kept.read_text())
    frames = _frames(clip.path, clip.width_px, clip.height_px)
    background = np.median(frames[::2], axis=0).astype(np.float32)
    times = _times(clip.path)
    shares = [_share(fall.way, frames, times, background) for fall in clip.falls if fall.counts]
    kept.write_text(json.dumps(shares))
    return shares


def _share(way: Way, frames: np.ndarray, times: np.ndarray, background: np.ndarray) -> float:
    seen = []
    for at_s, x, y, width, height in way.boxes:
        number = int(np.abs(times - at_s).argmin())
        if number < len(frames):
            deviations = _deviations(frames[number] - background, x, y, max(3, int(width)), max(3, int(height)))
            seen += [] if deviations is None else [deviations >= STANDS_OUT]
    return float(np.mean(seen)) if seen else 0.0


def _deviations(difference: np.ndarray, x: float, y: float, width: int, height: int) -> float | None:
    """By how many standard deviations the box around (x, y) stands out; none where it reaches out of the picture."""
    left, top = round(x - width / 2), round(y - height / 2)
    if left < 0 or top < 0 or left + width > difference.shape[1] or top + height > difference.shape[0]:
        return None
    first_x, first_y = max(0, left - AROUND_PX), max(0, top - AROUND_PX)
    window = difference[first_y:top + height + AROUND_PX, first_x:left + width + AROUND_PX]
    means = cv2.blur(window, (width, height))
    row, column = top - first_y + height // 2, left - first_x + width // 2
    around = np.ones_like(means, bool)
    around[max(0, row - height - 2):row + height + 3, max(0, column - width - 2):column + width + 3] = False
    middle = np.median(means[around])
    spread = max(1.4826 * np.median(np.abs(means[around] - middle)), 0.7 * means[around].std(), GREY_LEAST / min(width * height, 16) ** 0.5)
    return float(abs(means[row, column] - middle) / spread)


def _frames(path: Path, width: int, height: int) -> np.ndarray:
    """The luma of all frames, as FFmpeg decodes them."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "gray", "-fps_mode", "passthrough", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8).reshape(-1, height, width)


def _times(path: Path) -> np.ndarray:
    """When each frame is shown, seconds from the first."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0", str(path)]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
    times = np.array([float(line.strip(",")) for line in lines])
    return times - times[0]


def by_fall(clip: Clip) -> list[tuple[Fall, float]]:
    """The falls that count, each with the share of its frames on which it is shown."""
    return list(zip([fall for fall in clip.falls if fall.counts], shown(clip)))
