"""Turns a detector file into int8 (QDQ, weights by channel), calibrated on training pictures, to be measured beside fp32.

    python models/training/ebike_int8.py --model models/ebike.onnx --rendered models/training/out/rendered --real REAL --out models/training/out/precision/int8/ebike.onnx

Only convolutions are quantised; the distances' and scores' last layers, the normalisation and what follows the sigmoid stay fp32.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from ebike_data import letterbox, real_items, rendered_items


class Pictures(CalibrationDataReader):
    """Training pictures as the detector gets them, `count` of them, evenly from what there is."""

    def __init__(self, items, count: int, width: int, height: int) -> None:
        self.items = iter(items[:: max(1, len(items) // count)][:count])
        self.size = width, height

    def get_next(self) -> dict[str, np.ndarray] | None:
        item = next(self.items, None)
        if item is None:
            return None
        boxed = letterbox(cv2.imread(str(item.path)), *self.size)[0]
        return {"data": boxed.transpose(2, 0, 1)[None].astype(np.float32)}


def last_convolutions(model: onnx.ModelProto) -> list[str]:
    """The names of the convolutions whose output is split into scores and distances."""
    made = {output: node for node in model.graph.node for output in node.output}
    return [made[node.input[0]].name for node in model.graph.node if node.op_type == "Split" and made[node.input[0]].op_type == "Conv"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rendered", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    model = onnx.load(str(args.model))
    for number, node in enumerate(model.graph.node):  # the quantiser goes by name
        node.name = node.name or f"{node.op_type}_{number}"
    height, width = (d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[2:])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    named = args.out.with_suffix(".named.onnx")
    onnx.save(model, str(named))
    items = [i for i in (real_items(args.real) if args.real else []) + (rendered_items(args.rendered) if args.rendered else []) if i.part == "train"]
    quantize_static(str(named), str(args.out), Pictures(items, args.count, width, height), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=["Conv"],
                    nodes_to_exclude=last_convolutions(model), calibrate_method=CalibrationMethod.MinMax)
    named.unlink()
    print(f"{hashlib.sha256(args.out.read_bytes()).hexdigest()} {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
