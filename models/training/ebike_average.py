"""Averages the weights of detector files that were trained apart from one common start.

    python models/training/ebike_average.py --models RUN1/ebike.onnx RUN2/ebike.onnx --out models/ebike.onnx

Each run fits the few real pictures in its own way, and what is peculiar to one run goes down in the mean; what all runs learnt stays.
It costs nothing when the detector runs. The files must have the same graph, and runs that share no start do not average.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper


def averaged(paths: list[Path], shares: list[float]) -> onnx.ModelProto:
    """The first file's graph with the weighted mean of every floating-point weight; shares sum to 1."""
    models = [onnx.load(str(path)) for path in paths]
    tables = [{w.name: numpy_helper.to_array(w) for w in model.graph.initializer} for model in models]
    for weight in models[0].graph.initializer:
        values = [table.get(weight.name) for table in tables]
        shape = values[0].shape
        if any(value is None or value.shape != shape for value in values):
            raise SystemExit(f"{weight.name} is not in every file, or not of the same shape: these are different networks")
        if values[0].dtype == np.float32:
            mean = sum(share * value.astype(np.float64) for share, value in zip(shares, values))
            weight.CopyFrom(numpy_helper.from_array(np.asarray(mean, np.float32).reshape(shape), weight.name))
    return models[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--shares", type=float, nargs="+", help="how much of each; equal if left out")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    shares = args.shares or [1.0] * len(args.models)
    if len(shares) != len(args.models) or min(shares) < 0 or sum(shares) <= 0:
        raise SystemExit("--shares needs one number of 0 or more for each of --models")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(averaged(args.models, [share / sum(shares) for share in shares]), str(args.out))
    print(f"{args.out} sha256 {hashlib.sha256(args.out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
