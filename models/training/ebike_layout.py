"""Lays a detector file out so that ONNX Runtime computes it faster; what it computes stays the same but for rounding.

    python models/training/ebike_layout.py --model FILE.onnx --out models/ebike.onnx

- ONNX Runtime's fast convolutions work on blocks of channels: a convolution whose inputs are no multiple of four channels takes a slow
  way, and a pooling that is no multiple of sixteen is copied to another layout and back. The backbone has 58 and 24: zeros fill them up.
- A shuffle whose halves go separate ways is one selection for each half instead of one for all and a cut.
- The scale of the normalisation goes into the first convolution. The mean stays: at the border a convolution sees zeros, not the mean.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

# Channels as published, and filled up.
FILLED = {24: 32, 58: 60}
HALF = 58


class Graph:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.constants = {w.name: w for w in self.graph.initializer}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def constant(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self.constants[name])

    def set(self, name: str, value: np.ndarray) -> None:
        value = np.ascontiguousarray(value)
        if name in self.constants:
            self.constants[name].CopyFrom(numpy_helper.from_array(value, name))
        else:
            self.constants[name] = self.graph.initializer.add()
            self.constants[name].CopyFrom(numpy_helper.from_array(value, name))

    def behind(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that use a value, through nodes that only rename it."""
        found = []
        for user in self.users.get(name, []):
            found += self.behind(user.output[0]) if user.op_type == "Identity" else [user]
        return found


def fill(values: np.ndarray, axis: int) -> np.ndarray:
    missing = FILLED.get(values.shape[axis], values.shape[axis]) - values.shape[axis]
    return np.pad(values, [(0, missing if a == axis else 0) for a in range(values.ndim)])


def fill_convolutions(graph: Graph) -> None:
    for node in graph.graph.node:
        if node.op_type != "Conv":
            continue
        weights = graph.constant(node.input[1])
        group = next(a for a in node.attribute if a.name == "group")
        if group.i > 1:
            group.i = FILLED.get(group.i, group.i)
        else:
            weights = fill(weights, 1)
        graph.set(node.input[1], fill(weights, 0))
        graph.set(node.input[2], fill(graph.constant(node.input[2]), 0))


def select_halves(graph: Graph) -> None:
    """Rewrites each shuffle of two filled-up halves, and makes one selection a half of those that are cut afterwards."""
    place = lambda channel: channel if channel < HALF else channel - HALF + FILLED[HALF]
    padding = [HALF] * (FILLED[HALF] - HALF)  # a channel of zeros
    kept = []
    for node in graph.graph.node:
        if node.op_type == "Slice" and any(node.output[0] == made.output[0] for made in kept if made.op_type == "Gather"):
            continue
        kept.append(node)
        if node.op_type != "Gather":
            continue
        channels = graph.constant(node.input[1]).tolist()
        is_filled = len(channels) == 2 * HALF
        slices = [user for user in graph.behind(node.output[0]) if user.op_type == "Slice"]
        mapped = [place(channel) if is_filled else channel for channel in channels]
        if not slices:
            graph.set(node.input[1], np.array(mapped))
            continue
        kept.pop()
        for cut in slices:
            first, last = (int(graph.constant(name)[0]) for name in cut.input[1:3])
            name = f"{cut.output[0]}.idx"
            graph.set(name, np.array(mapped[first:last] + (padding if is_filled else [])))
            kept.append(helper.make_node("Gather", [node.input[0], name], [cut.output[0]], name=f"{cut.output[0]}_half", axis=1))
    # What only renamed a whole shuffle is left without one.
    made = {name for node in kept for name in node.output} | set(graph.constants) | {value.name for value in graph.graph.input}
    kept = [node for node in kept if all(name in made for name in node.input if name)]
    del graph.graph.node[:]
    graph.graph.node.extend(kept)


def scale_within(graph: Graph) -> None:
    """Puts the factor that the normalised picture is multiplied by into the convolution behind it."""
    scale = next(node for node in graph.graph.node if node.op_type == "Mul" and node.input[1] in graph.constants and graph.constant(node.input[1]).shape == (1, 3, 1, 1))
    for user in graph.behind(scale.output[0]):
        assert user.op_type == "Conv", user.op_type
        graph.set(user.input[1], graph.constant(user.input[1]) * graph.constant(scale.input[1]).astype(np.float32))
        user.input[0] = scale.input[0]
    graph.graph.node.remove(scale)


def laid_out(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = Graph(model)
    scale_within(graph)
    fill_convolutions(graph)
    select_halves(graph)
    used = {name for node in graph.graph.node for name in node.input}
    for weight in [w for w in graph.graph.initializer if w.name not in used]:
        graph.graph.initializer.remove(weight)
    del graph.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    onnx.save(laid_out(onnx.load(str(args.model))), str(args.out))
    print(hashlib.sha256(args.out.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
