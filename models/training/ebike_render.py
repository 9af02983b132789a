"""Renders labelled pictures of elevator cars for the e-bike detector.

    python models/training/ebike_render.py --out models/training/out/rendered --count 6000 --first 0 --workers 2

Picture n depends on n alone (its seed), so a stopped run goes on where it was, and two machines can share the numbers.
Each picture gets a YOLO label file; class -1 marks something too small or too hidden to judge (training ignores it); facts/ says
what camera and light it was made with.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from pathlib import Path

import cv2
import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "fixtures" / "generate"))

from elevator_car import Car, car_meshes, random_car  # noqa: E402
from elevator_carts import dog, luggage  # noqa: E402
from elevator_look import develop, random_look  # noqa: E402
from elevator_mesh import library_model, merge, placed, recoloured  # noqa: E402
from elevator_people import crouching, person, poncho, random_style, seated, standing  # noqa: E402
from elevator_render import World, render  # noqa: E402
from elevator_scenes import place, random_camera, random_vehicle  # noqa: E402
from elevator_scooters import paint  # noqa: E402
from elevator_things import LIBRARY_PEOPLE, Vehicle, cloth, pick  # noqa: E402

CLASSES = ["ebike", "bicycle", "person", "pram", "wheelchair", "other"]
SHARE_SEEN_MIN = 0.2  # of a thing; behind so many people nobody could say what it is


def _somebody(rng, x: float, y: float, yaw: float, built_only: bool):
    """A bystander: mostly built, sometimes from the library."""
    if rng.random() < 0.4 and not built_only:
        archive, path, w, d, h = pick(rng, LIBRARY_PEOPLE)
        mesh = recoloured(library_model(archive, path, w, d, h, np.pi / 2), rng, 0.07)
        return mesh.moved(placed(x, y, yaw, scale=rng.uniform(0.93, 1.03)))
    style, dice = random_style(rng, bool(rng.random() < 0.15)), rng.random()
    if dice < 0.07:
        return crouching(style, x, y, yaw)
    if dice < 0.1:
        return seated(style, x, y, yaw)
    return standing(style, x, y, yaw, None, rng.uniform(0, 0.15), rng.uniform(0, 6.3) if rng.random() < 0.4 else None,
                    rng.normal(0, 0.5))


def _with_people(rng, car: Car, vehicle: Vehicle, pose, objects: list, taken: list) -> None:
    """Adds who rides or pushes the vehicle."""
    x, y, yaw = pose
    matrix = placed(x, y, yaw)
    def world(p):
        return matrix[:3, :3] @ np.asarray(p, float) + matrix[:3, 3]
    grips = [world(g) for g in vehicle.grips] or None
    dice = rng.random()
    if vehicle.seat is not None and vehicle.feet and dice < 0.33:
        style = random_style(rng)
        hands = grips if rng.random() < 0.8 else [None, None]
        feet = [world(f) for f in vehicle.feet] if rng.random() < 0.6 else [world([0.1, s * 0.36, 0.05]) for s in (1, -1)]
        objects.append(("person", person(style, world(vehicle.seat), yaw, hands, feet, rng.uniform(0.05, 0.5), rng.normal(0, 0.4))))
        if grips is not None and vehicle.kind == "ebike" and rng.random() < 0.1:
            cape = poncho(style, world(vehicle.seat), yaw, (grips[0] + grips[1]) / 2, paint(rng), cloth(rng) if rng.random() < 0.4 else None, rng)
            objects[-1] = ("person", merge([objects[-1][1], cape]))
        if rng.random() < 0.12:
            objects.append(("person", person(random_style(rng), world(vehicle.seat + [-0.32, 0, 0.02]), yaw, None, [world([-0.35, s * 0.28, 0.25]) for s in (1, -1)], 0.2)))
        return
    if vehicle.kind == "wheelchair" and dice < 0.65:
        seat, feet = [-0.08, 0, 0.56], [[0.38, s * 0.12, 0.16] for s in (1, -1)]
        objects.append(("person", person(random_style(rng), world(seat), yaw, [world([0.1, s * 0.26, 0.66]) for s in (1, -1)], [world(f) for f in feet], 0.0)))
    if grips is not None and rng.random() < 0.75:
        style = random_style(rng, vehicle.half[0] < 0.5 and rng.random() < 0.3)
        if vehicle.kind in ("ebike", "bicycle"):
            side = rng.choice([-1, 1])
            spot, turn = [rng.uniform(-0.35, 0.1), side * rng.uniform(0.4, 0.55), 0], -side * rng.uniform(0, 0.4)
        else:
            spot, turn = [-vehicle.half[0] - rng.uniform(0.2, 0.35), 0, 0], 0.0
        at = world(spot)
        hold = grips if rng.random() < 0.6 else [grips[0], None] if rng.random() < 0.5 else None
        objects.append(("person", standing(style, at[0], at[1], yaw + turn, hold, rng.uniform(0, 0.4), rng.uniform(0, 6.3) if rng.random() < 0.5 else None, rng.normal(0, 0.4))))
        taken.append((at[0], at[1], 0.2))


def _before(rng, car: Car, camera: np.ndarray, subject: np.ndarray, objects: list, taken: list, built_only: bool) -> None:
    """Somebody who stands between the camera and the vehicle and hides a part of it."""
    for _ in range(6):
        x, y = camera[:2] + (subject[:2] - camera[:2]) * rng.uniform(0.2, 0.7) + rng.normal(0, 0.12, 2)
        if 0.18 < x < car.width - 0.18 and 0.15 < y < car.depth - 0.15 and all(np.hypot(x - a, y - b) > 0.38 for a, b, _ in taken):
            objects.append(("person", _somebody(rng, float(x), float(y), rng.uniform(-np.pi, np.pi), built_only)))
            return


def _moving(rng, light: np.ndarray, obj: np.ndarray, numbers: list[int]) -> np.ndarray:
    """Smears what moves (a vehicle with its rider, or somebody) along one direction, as a slow shutter does."""
    length = int(rng.integers(3, 12))
    kernel = np.zeros((13, 13), np.float32)
    a = rng.uniform(0, np.pi)
    dx, dy = int(round(np.cos(a) * length / 2)), int(round(np.sin(a) * length / 2))
    cv2.line(kernel, (6 - dx, 6 - dy), (6 + dx, 6 + dy), 1.0)
    kernel /= kernel.sum()
    mask = cv2.filter2D(np.isin(obj, numbers).astype(np.float32), -1, kernel)[..., None]
    return light * (1 - mask) + np.maximum(cv2.filter2D(light.astype(np.float32), -1, kernel), 0) * mask  # filter2D rounds to below nought


def _filled(rng, main: str, door: float, built_only: bool) -> tuple[Car, list, list]:
    """A car with what stands in it: (class, mesh), "" for things without a class; and the places taken, the main thing's first."""
    for _ in range(5):  # a car may be too small for the vehicle
        car = random_car(rng)
        objects, taken = [], []
        kinds = ([] if main == "none" else [main]) + ([str(rng.choice(["ebike", "bicycle", "pram", "other"], p=[0.25, 0.3, 0.2, 0.25]))] if rng.random() < 0.15 else [])
        for kind in kinds:
            vehicle = random_vehicle(rng, kind, built_only)
            where = "inside" if door < 0.8 or rng.random() < 0.6 else str(rng.choice(["sill", "landing"], p=[0.75, 0.25]))
            pose = place(rng, car, vehicle.half, where, taken)
            if pose is None:
                continue
            objects.append((vehicle.kind, vehicle.mesh.moved(placed(*pose))))
            taken.append((pose[0], pose[1], vehicle.half[1] + 0.12))
            _with_people(rng, car, vehicle, pose, objects, taken)
        if main == "none" or objects and objects[0][0] == main:
            break
    for _ in range(int(rng.choice([0, 1, 2, 3, 6], p=[0.42, 0.28, 0.17, 0.09, 0.04])) + (main == "none" and rng.random() < 0.6)):
        pose = place(rng, car, (0.18, 0.18), "inside" if door < 0.8 or rng.random() < 0.85 else "landing", taken)
        if pose is not None:
            objects.append(("person", _somebody(rng, *pose, built_only)))
            taken.append((pose[0], pose[1], 0.2))
    for _ in range(1 + (rng.random() < 0.3) if rng.random() < 0.22 else 0):
        pose = place(rng, car, (0.25, 0.25), "inside", taken)
        if pose is not None:
            objects.append(("", (dog(rng) if rng.random() < 0.2 else luggage(rng)).moved(placed(*pose))))
    return car, objects, taken


def _share_seen(mesh, camera, seen: int, width: int, height: int) -> float:
    """How much of what the camera would see of a thing that stood alone it does see, 0..1."""
    alone = EmbreeScene()
    TriangleMesh(alone, np.ascontiguousarray(mesh.corners))
    rays = camera.rays(width, height)[::2, ::2].reshape(-1, 3)
    origins = np.ascontiguousarray(np.broadcast_to(camera.position.astype(np.float32), rays.shape))
    hit = alone.run(origins, np.ascontiguousarray(rays), query="INTERSECT")
    return seen / max(4.0 * np.count_nonzero(hit >= 0), 1.0)


def make(index: int, out: Path, built_only: bool = False) -> None:
    """Renders picture `index` with its label and its facts, unless it is there already."""
    label_path, image_path = out / "labels" / f"{index:06d}.txt", out / "images" / f"{index:06d}.jpg"
    if label_path.exists():
        return
    rng = np.random.default_rng([20261126, index])
    main = str(rng.choice(["ebike", "bicycle", "pram", "wheelchair", "other", "none"], p=[0.46, 0.19, 0.08, 0.05, 0.10, 0.12]))
    door = 0.0 if rng.random() < 0.45 else 1.0 if rng.random() < 0.75 else float(rng.random())
    car, objects, taken = _filled(rng, main, door, built_only)
    subject = np.array([taken[0][0], taken[0][1], 0.5]) if taken else None
    hung, camera, width, height = random_camera(rng, car, "closed" if door < 0.8 else "open", subject)
    if subject is not None and camera.position[1] > 0 and rng.random() < 0.22:
        _before(rng, car, camera.position, subject, objects, taken, built_only)
    car_mesh, lamps = car_meshes(car, door)
    world = World([car_mesh, *(mesh for _, mesh in objects)], lamps, float(rng.uniform(0.06, 0.22)))
    light, obj = render(world, camera, width, height, rng, wear=float(rng.uniform(0, 0.16)))
    if objects and rng.random() < 0.2:
        light = _moving(rng, light, obj, [1, 2] if rng.random() < 0.6 else [int(rng.integers(1, len(objects) + 1))])
    look = random_look(rng)
    if camera.lens != "rectilinear" and camera.fov_deg > 125 and rng.random() < 0.15:
        look.circle = float(rng.uniform(0.8, 1.0))
        obj = np.where(np.hypot(*(np.indices(obj.shape)[::-1] - np.array([width / 2, height / 2])[:, None, None])) < look.circle * width / 2, obj, -1)
    picture = develop(light, look, rng)
    lines = []
    for number, (kind, mesh) in enumerate(objects, start=1):
        ys, xs = np.nonzero(obj == number)
        if len(xs) < 12 or kind == "":
            continue
        x0, x1, y0, y1 = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
        visible = len(xs) >= 0.004 * width * height and min(x1 - x0, y1 - y0) >= 12 and _share_seen(mesh, camera, len(xs), width, height) >= SHARE_SEEN_MIN
        lines.append(f"{CLASSES.index(kind) if visible else -1} {(x0 + x1) / 2 / width:.5f} {(y0 + y1) / 2 / height:.5f} {(x1 - x0) / width:.5f} {(y1 - y0) / height:.5f}")
    cv2.imwrite(str(image_path), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    facts = {"main": main, "camera": hung, "lens": camera.lens, "fov_deg": round(camera.fov_deg), "infrared": look.infrared, "dark": bool(picture.mean() < 60),
             "door": "open" if door > 0.8 else "closed" if door < 0.2 else "half", "people": sum(kind == "person" for kind, _ in objects)}
    (out / "facts" / f"{index:06d}.json").write_text(json.dumps(facts) + "\n")
    temporary = label_path.with_suffix(".part")
    temporary.write_text("\n".join(lines) + ("\n" if lines else ""))
    temporary.rename(label_path)


def _work(job: tuple[int, Path, bool]) -> int:
    make(*job)
    return job[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--built-only", action="store_true", help="no models of the furniture library: other pictures, nobody to credit")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    for folder in ("images", "labels", "facts"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    (args.out / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)
    with multiprocessing.Pool(args.workers) as pool:
        for n, index in enumerate(pool.imap_unordered(_work, [(i, args.out, args.built_only) for i in range(args.first, args.first + args.count)], chunksize=4)):
            if n % 100 == 0:
                print(f"{n} of {args.count} (picture {index})", flush=True)


if __name__ == "__main__":
    main()
