"""Pictures and labels for the e-bike detector: the rendered ones and the real sets, and what is done to them on the way in.

A set says which classes it labels; for the others its pictures teach nothing (they are neither positives nor negatives).
Real pictures are read where they lie and are never copied into the project.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ebike_model import CLASSES

EBIKE, BICYCLE, PERSON, PRAM, WHEELCHAIR, OTHER = range(len(CLASSES))
# set: (our class for each of its classes, classes of ours for which an unlabelled place means "not there")
SETS = {
    "x50998": ([EBIKE], [EBIKE]),
    "lily": ([EBIKE], [EBIKE]),
    "etoiles": ([EBIKE, PERSON], [EBIKE]),
    "gumplyz": ([EBIKE], []),
    "voc2007": ([PERSON, BICYCLE, EBIKE], [PERSON, BICYCLE, EBIKE, PRAM, WHEELCHAIR]),  # a motorbike in a car must alarm too
    "wheelchair": ([PERSON, WHEELCHAIR], [EBIKE, WHEELCHAIR]),
}


OTHERS = Path(__file__).with_name("x50998_others.txt")


@dataclass
class Item:
    """One picture: boxes [n,5] as class, left, top, right, bottom in relative coordinates; class -1 is ignored."""

    path: Path
    boxes: np.ndarray
    known: list[int]
    source: str
    part: str  # "train" or "val"


def _boxes(path: Path, classes: list[int]) -> np.ndarray:
    rows = []
    for line in path.read_text().splitlines():
        c, x, y, w, h = (float(v) for v in line.split()[:5])
        rows.append([classes[int(c)] if c >= 0 else -1, x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return np.array(rows, np.float32).reshape(-1, 5)


def _others() -> dict[str, list[list[float]]]:
    """By picture of x50998, the boxes of bicycles and prams that the set itself does not label, as rows of `Item.boxes`."""
    boxes: dict[str, list[list[float]]] = {}
    for line in OTHERS.read_text().splitlines():
        if line and not line.startswith("#"):
            picture, kind, *edges = line.split()
            left, top, right, bottom = (float(e) for e in edges)
            row = [-1.0 if kind == "unsure" else CLASSES.index(kind), left / 960, top / 540, right / 960, bottom / 540]
            boxes.setdefault(picture, []).append(row)
    return boxes


def real_items(root: Path) -> list[Item]:
    """Every labelled picture of the real sets; `part` follows a set's split.txt where it has one, else train."""
    items, others = [], _others()
    for name, (classes, known) in SETS.items():
        folder = root / name
        if not folder.exists():
            continue
        split = dict(line.split() for line in (folder / "split.txt").read_text().splitlines() if line.strip()) if (folder / "split.txt").exists() else {}
        for image in sorted((folder / "images").glob("*.jpg")):
            label = folder / "labels" / f"{image.stem}.txt"
            if label.exists():
                boxes = _boxes(label, classes)
                if name == "x50998" and image.stem in others:
                    boxes = np.concatenate([boxes, np.array(others[image.stem], np.float32)])
                items.append(Item(image, boxes, known, name, split.get(image.name, "train")))
    return items


def rendered_items(root: Path, held_out: int = 15) -> list[Item]:
    """The rendered pictures; every held_out-th is kept for validation."""
    everything = list(range(len(CLASSES)))
    items = []
    for label in sorted((root / "labels").glob("*.txt")):
        part = "val" if int(label.stem) % held_out == 0 else "train"
        items.append(Item(root / "images" / f"{label.stem}.jpg", _boxes(label, everything), everything, "rendered", part))
    return items


def letterbox(picture: np.ndarray, width: int, height: int) -> tuple[np.ndarray, float, float, float]:
    """The picture scaled to fit, centred on black; and scale, x offset, y offset."""
    h, w = picture.shape[:2]
    scale = min(width / w, height / h)
    nw, nh = max(1, round(w * scale)), max(1, round(h * scale))
    out = np.zeros((height, width, 3), np.uint8)
    x, y = (width - nw) // 2, (height - nh) // 2
    out[y:y + nh, x:x + nw] = cv2.resize(picture, (nw, nh), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return out, scale, x, y


class Cutouts:
    """Real vehicles with transparent surroundings (see ebike_cutouts.py), by class; those of left-out sets are left out."""

    # How often each is taken: what looks like an e-bike and is none is rare in real cars, and teaches most there.
    ODDS = {EBIKE: 0.45, BICYCLE: 0.33, PRAM: 0.1, WHEELCHAIR: 0.12}

    def __init__(self, folder: Path | None, without: list[str]) -> None:
        self.pieces: dict[int, list[np.ndarray]] = {}
        for path in sorted(folder.glob("*.png")) if folder else []:
            source, kind = path.stem.split("_")[:2]
            if source not in without:
                self.pieces.setdefault(CLASSES.index(kind), []).append(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))

    def paste(self, picture: np.ndarray, boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Puts one into the picture, in place; returns the boxes with its own. What it hides for the most part is ignored from then on."""
        kinds = sorted(self.pieces)
        odds = np.array([self.ODDS[k] for k in kinds])
        kind = int(rng.choice(kinds, p=odds / odds.sum()))
        piece = self.pieces[kind][int(rng.integers(len(self.pieces[kind])))]
        h, w = picture.shape[:2]
        size = h * rng.uniform(0.3, 0.85) / max(piece.shape[:2])
        angle, flip = (rng.normal(0, 14) if rng.random() < 0.85 else rng.uniform(-180, 180)), rng.random() < 0.5
        c, s = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
        ph, pw = piece.shape[:2]
        ow, oh = int(size * (pw * c + ph * s)) + 2, int(size * (pw * s + ph * c)) + 2
        if min(ow, oh) < 24:
            return boxes
        matrix = cv2.getRotationMatrix2D((pw / 2, ph / 2), angle, size)
        matrix[:, 2] += [ow / 2 - pw / 2, oh / 2 - ph / 2]
        turned = cv2.warpAffine(piece[:, ::-1] if flip else piece, matrix, (ow, oh), flags=cv2.INTER_AREA if size < 1 else cv2.INTER_LINEAR)
        x0, y0 = int(rng.uniform(-0.15, 1.15) * (w - ow)), int(rng.uniform(0.25, 1.1) * (h - oh))
        left, top, right, bottom = max(0, x0), max(0, y0), min(w, x0 + ow), min(h, y0 + oh)
        if right - left < 24 or bottom - top < 24:
            return boxes
        seen = turned[top - y0:bottom - y0, left - x0:right - x0].astype(np.float32)
        alpha = seen[..., 3:] / 255
        ys, xs = np.nonzero(alpha[..., 0] > 0.4)
        if len(xs) < 0.3 * (turned[..., 3] > 100).sum() or len(xs) < 300:
            return boxes
        ground = picture[top:bottom, left:right].astype(np.float32)
        colour = seen[..., :3]
        inside = alpha[..., 0] > 0.4
        tint = np.clip((ground.mean((0, 1)) + 20) / (colour[inside].mean(0) + 20), 0.5, 1.8)  # half way to the light of the place
        colour = colour * (1 + rng.uniform(0.2, 0.8) * (tint - 1))
        picture[top:bottom, left:right] = np.clip(ground * (1 - alpha) + colour * alpha, 0, 255).astype(np.uint8)
        own = np.array([kind, left + xs.min(), top + ys.min(), left + xs.max() + 1, top + ys.max() + 1], np.float32)
        for row in boxes:
            lap = np.clip(np.minimum(row[3:], own[3:]) - np.maximum(row[1:3], own[1:3]), 0, None).prod()
            if lap > 0.6 * np.prod(row[3:] - row[1:3]):
                row[0] = -1
        return np.concatenate([boxes, own[None]])


def augmented(item: Item, width: int, height: int, rng: np.random.Generator, cutouts: Cutouts | None = None) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """One training picture [h,w,3], its boxes [n,5] in pixels and the classes it knows, through a random view, light and codec."""
    picture = cv2.imread(str(item.path))
    h, w = picture.shape[:2]
    boxes = item.boxes.copy()
    boxes[:, 1::2] *= w
    boxes[:, 2::2] *= h
    fit = min(width / w, height / h)
    real = item.source != "rendered"
    if cutouts and cutouts.pieces and rng.random() < (0.25 if real else 0.35):
        boxes = cutouts.paste(picture, boxes, rng)
    if rng.random() < (0.45 if real else 0.15):
        picture, boxes = _bent(picture, boxes, rng)
    scale = fit * (np.exp(rng.uniform(-0.22, 0.5)) if rng.random() < 0.8 else 1.0)
    angle = rng.normal(0, 9) if rng.random() < 0.75 else rng.uniform(-180, 180) if rng.random() < 0.2 else 0.0
    stretch = np.exp(rng.normal(0, 0.14))
    flip = -1 if rng.random() < 0.5 else 1
    c, s = np.cos(np.radians(angle)) * scale, np.sin(np.radians(angle)) * scale
    matrix = np.array([[c, -s], [s, c]]) @ np.diag([flip * stretch, 1 / stretch])
    focus = np.array([w / 2, h / 2])
    if len(boxes) and rng.random() < 0.5 and scale > fit:
        b = boxes[rng.integers(len(boxes)), 1:]
        focus = 0.5 * focus + 0.5 * np.array([(b[0] + b[2]) / 2, (b[1] + b[3]) / 2])
    shift = np.array([width, height]) / 2 - matrix @ focus + rng.uniform(-0.12, 0.12, 2) * [width, height]
    full = np.vstack([np.concatenate([matrix, shift[:, None]], 1), [0, 0, 1]])
    if rng.random() < 0.25:  # a camera tilted more, or hung elsewhere: far things shrink towards one side
        tilt = np.eye(3)
        tilt[2, :2] = rng.normal(0, 0.28, 2) / [width, height]
        back = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1.0]])
        full = np.linalg.inv(back) @ tilt @ back @ full
    if scale < 0.7:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.35 / scale)
    out = cv2.warpPerspective(picture, full, (width, height), flags=cv2.INTER_LINEAR)
    return _seen(out, rng), _moved(boxes, full, width, height, abs(angle)), item.known


def _bent(picture: np.ndarray, boxes: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """Bends a real picture like a wider or narrower lens would; boxes follow by their corners and edge middles."""
    h, w = picture.shape[:2]
    k = rng.uniform(-0.18, 0.45)
    def radius(x, y):
        return ((x - w / 2) / (w / 2)) ** 2 + ((y - h / 2) / (w / 2)) ** 2
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    f = (1 + k * radius(x, y)) / (1 + k * 0.5)
    out = cv2.remap(picture, ((x - w / 2) * f + w / 2).astype(np.float32), ((y - h / 2) * f + h / 2).astype(np.float32), cv2.INTER_LINEAR)
    moved = boxes.copy()
    for i, (_, x0, y0, x1, y1) in enumerate(boxes):
        px, py = np.array([x0, (x0 + x1) / 2, x1, x0, x1, x0, (x0 + x1) / 2, x1]), np.array([y0, y0, y0, (y0 + y1) / 2, (y0 + y1) / 2, y1, y1, y1])
        tx, ty = px.copy(), py.copy()
        for _ in range(6):
            g = (1 + k * radius(tx, ty)) / (1 + k * 0.5)
            tx, ty = (px - w / 2) / g + w / 2, (py - h / 2) / g + h / 2
        moved[i, 1:] = [tx.min(), ty.min(), tx.max(), ty.max()]
    return out, moved


def _moved(boxes: np.ndarray, matrix: np.ndarray, width: int, height: int, angle_deg: float) -> np.ndarray:
    """Boxes after the view [3,3]: turned by an inscribed ellipse (tighter than the corners), clipped; mostly cut ones are ignored."""
    around = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ellipse = np.stack([np.cos(around), np.sin(around)], 1)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    out = []
    for c, x0, y0, x1, y1 in boxes:
        centre, half = np.array([(x0 + x1) / 2, (y0 + y1) / 2]), np.array([x1 - x0, y1 - y0]) / 2
        def extent(shape):
            p = np.concatenate([centre + shape * half, np.ones((len(shape), 1))], 1) @ matrix.T
            p = p[:, :2] / np.maximum(p[:, 2:], 1e-3)
            return np.concatenate([p.min(0), p.max(0)])
        outer = extent(corners)
        reach = outer if angle_deg < 1e-3 else extent(ellipse) * 0.6 + outer * 0.4
        low, high = reach[:2], reach[2:]
        clipped = np.array([max(low[0], 0), max(low[1], 0), min(high[0], width), min(high[1], height)])
        inside = max(0, clipped[2] - clipped[0]) * max(0, clipped[3] - clipped[1])
        if inside <= 4:
            continue
        keep = inside / np.prod(high - low) > 0.3 and min(clipped[2] - clipped[0], clipped[3] - clipped[1]) > 8
        out.append([c if keep else -1, *clipped])
    return np.array(out, np.float32).reshape(-1, 5)


def _seen(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random light, colour, blur, noise and compression; a third stays as it is, for real cameras are often good."""
    if rng.random() < 0.33:
        return picture
    image = picture.astype(np.float32)
    if rng.random() < 0.8:
        image = 255 * np.power(image / 255, np.exp(rng.normal(0, 0.3)))
        image = image * rng.uniform(0.65, 1.35) + rng.uniform(-25, 25)
    if rng.random() < 0.6:
        image *= np.exp(rng.normal(0, 0.1, 3)).astype(np.float32)
    if rng.random() < 0.6:
        grey = image.mean(-1, keepdims=True)
        image = grey + (image - grey) * (0.0 if rng.random() < 0.25 else rng.uniform(0.4, 1.7))
    if rng.random() < 0.1:  # a lamp or a torch across the picture
        h, w = image.shape[:2]
        y, x = np.mgrid[0:h, 0:w].astype(np.float32)
        image += rng.uniform(-120, 150) * np.exp(-((x - rng.uniform(0, w)) ** 2 + (y - rng.uniform(0, h)) ** 2) / (2 * rng.uniform(40, 140) ** 2))[..., None]
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.08:
        kernel = np.zeros((9, 9), np.float32)
        cv2.line(kernel, (4, 4), (int(rng.integers(0, 9)), int(rng.integers(0, 9))), 1.0)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(1, 14), image.shape[:2] + (int(rng.choice([1, 3])),)).astype(np.float32)
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.2 else 0):  # something before the lens, a smear, a sticker
        h, w = image.shape[:2]
        x, y = int(rng.integers(0, w - 20)), int(rng.integers(0, h - 20))
        image[y:y + int(rng.integers(8, h // 5)), x:x + int(rng.integers(8, w // 5))] = rng.uniform(0, 255, 3)
    image = np.clip(image, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(18, 85))])[1], cv2.IMREAD_COLOR)
    return image
