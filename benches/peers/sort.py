"""Tracks boxes as SORT does (Bewley et al. 2016): a Kalman filter of constant velocity a box, matched by overlap. In numpy alone;
the match is greedy by overlap instead of by the Hungarian method, which costs less and changes little where boxes seldom overlap."""

from __future__ import annotations

import numpy as np

MATCH_IOU = 0.3
LOST_FRAMES = 3

# State: centre x, centre y, area, aspect, and the velocities of the first three.
MOVE = np.eye(7)
MOVE[0, 4] = MOVE[1, 5] = MOVE[2, 6] = 1.0
SEEN = np.eye(4, 7)
NOISE_MOVE = np.diag([1.0, 1.0, 1.0, 1.0, 0.01, 0.01, 0.0001])
NOISE_SEEN = np.diag([1.0, 1.0, 10.0, 10.0])


def measured(boxes: np.ndarray) -> np.ndarray:
    """Boxes (left, top, width, height) as centre, area and aspect."""
    left, top, width, height = boxes.T
    return np.stack([left + width / 2, top + height / 2, width * height, width / height], axis=1)


def boxed(states: np.ndarray) -> np.ndarray:
    area = np.maximum(states[:, 2], 1.0)
    width = np.sqrt(area * np.maximum(states[:, 3], 0.01))
    height = area / width
    return np.stack([states[:, 0] - width / 2, states[:, 1] - height / 2, width, height], axis=1)


def overlaps(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Intersection over union of each of ours with each of theirs."""
    left = np.maximum(ours[:, None, 0], theirs[None, :, 0])
    top = np.maximum(ours[:, None, 1], theirs[None, :, 1])
    right = np.minimum((ours[:, 0] + ours[:, 2])[:, None], (theirs[:, 0] + theirs[:, 2])[None])
    bottom = np.minimum((ours[:, 1] + ours[:, 3])[:, None], (theirs[:, 1] + theirs[:, 3])[None])
    both = np.clip(right - left, 0, None) * np.clip(bottom - top, 0, None)
    return both / ((ours[:, 2] * ours[:, 3])[:, None] + (theirs[:, 2] * theirs[:, 3])[None] - both)


class Sort:
    def __init__(self) -> None:
        self.states = np.zeros((0, 7))
        self.doubts = np.zeros((0, 7, 7))
        self.lost = np.zeros(0, dtype=int)

    def take(self, boxes: np.ndarray) -> None:
        """Goes on to the next frame, in which these boxes (left, top, width, height) were found."""
        self.states = self.states @ MOVE.T
        self.doubts = MOVE @ self.doubts @ MOVE.T + NOISE_MOVE
        self.lost += 1
        free = np.ones(len(boxes), dtype=bool)
        if len(boxes) and len(self.states):
            fits = overlaps(boxed(self.states), boxes)
            while fits.size and fits.max() >= MATCH_IOU:
                track, box = np.unravel_index(fits.argmax(), fits.shape)
                self.see(track, measured(boxes[box : box + 1])[0])
                fits[track], fits[:, box], free[box] = -1.0, -1.0, False
        kept = self.lost <= LOST_FRAMES
        self.states, self.doubts, self.lost = self.states[kept], self.doubts[kept], self.lost[kept]
        if free.any():
            new = np.zeros((free.sum(), 7))
            new[:, :4] = measured(boxes[free])
            self.states = np.concatenate([self.states, new])
            self.doubts = np.concatenate([self.doubts, np.tile(np.diag([10.0] * 4 + [1e4] * 3), (len(new), 1, 1))])
            self.lost = np.concatenate([self.lost, np.zeros(len(new), dtype=int)])

    def see(self, track: int, seen: np.ndarray) -> None:
        doubt = self.doubts[track]
        gain = doubt @ SEEN.T @ np.linalg.inv(SEEN @ doubt @ SEEN.T + NOISE_SEEN)
        self.states[track] += gain @ (seen - SEEN @ self.states[track])
        self.doubts[track] = (np.eye(7) - gain @ SEEN) @ doubt
        self.lost[track] = 0
