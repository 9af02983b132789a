"""Writes a checkpoint's averaged weights as the detector file, laid out for speed (ebike_layout.py), and prints its SHA-256.

    python models/training/ebike_export.py --weights PUBLISHED.onnx --checkpoint models/training/out/b/checkpoint.pt --out models/ebike.onnx
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import onnx
import torch

from ebike_layout import laid_out
from ebike_model import Detector
from ebike_train import HEIGHT, WIDTH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="nanodet-plus-m_dynamic_coco.onnx")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = Detector(args.weights, fresh_head=True)
    model.load_state_dict(torch.load(args.checkpoint)["average"])
    model.save_onnx(args.out, HEIGHT, WIDTH)
    onnx.save(laid_out(onnx.load(str(args.out))), str(args.out))
    print(hashlib.sha256(args.out.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
