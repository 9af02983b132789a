"""Trains, evaluates and exports the verifier: models/verifier.onnx.

  python verifier_train.py --train out/train.npz --test out/test.npz [--epochs 40] [--seed 1]
  python verifier_train.py --evaluate --test out/test.npz        # the shipped file, through onnxruntime

Test clips come from seeds that no training clip has (fixtures/generate/facade/corpus.py). The threshold is the sum of
the scores of falling and drifting objects under which a track is vetoed; hardly any true fall may lie under it.
"""
import argparse
import hashlib
import re
import sys
import time
from pathlib import Path

import numpy as np

from verifier_stacks import CLASSES, K, SIDE

MODELS = Path(__file__).resolve().parents[1]
FILE = MODELS / "verifier.onnx"
FALLS_KEPT = 0.995  # share of the held-out falls that the threshold must let through


def network():
    import torch
    from torch import nn

    class Verifier(nn.Module):
        """One small CNN looks at each of the 8 moments; a second one looks along time."""

        def __init__(self):
            super().__init__()

            def block(a, b, kernel, stride):
                return [nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

            self.moment = nn.Sequential(*block(2, 16, 5, 2), *block(16, 24, 3, 2), *block(24, 32, 3, 1), *block(32, 48, 3, 2))
            self.along = nn.Sequential(nn.Conv1d(96, 64, 3, padding=1), nn.ReLU(), nn.Conv1d(64, 64, 3, padding=1), nn.ReLU())
            self.drop = nn.Dropout(.25)
            self.out = nn.Linear(128, len(CLASSES))

        def logits(self, patches):
            f = self.moment(patches.reshape(-1, 2, SIDE, SIDE))
            middle = f[:, :, 1:3, 1:3].mean((2, 3))  # where the thing is; the rest is its surroundings
            f = torch.cat([middle, f.mean((2, 3))], 1).reshape(-1, K, 96).transpose(1, 2)
            f = self.along(f)
            return self.out(self.drop(torch.cat([f.mean(2), f.amax(2)], 1)))

        def forward(self, patches):
            return self.logits(patches).softmax(1)

    return Verifier()


def augment(x, rng):
    """Flips left to right, zooms, shifts by up to three pixels, softens, fades the background, scales and inverts contrast, adds noise."""
    import torch
    from torch.nn import functional
    n = len(x)
    x = torch.from_numpy(x)
    zoom = np.exp(rng.uniform(np.log(.5), np.log(1.25), n))  # under 1 enlarges
    theta = np.zeros((n, 2, 3), np.float32)
    theta[:, 0, 0] = zoom * rng.choice([-1, 1], n)
    theta[:, 1, 1] = zoom
    theta[:, :, 2] = rng.uniform(-3, 3, (n, 2)) * 2 / SIDE
    grid = functional.affine_grid(torch.from_numpy(theta), list(x.shape), align_corners=False)
    x = functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    soft = torch.from_numpy(rng.uniform(0, .8, (n, 1, 1, 1)).astype(np.float32) * (rng.random((n, 1, 1, 1)) < .4))
    x = x + soft.float() * (functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False) - x)
    # fade the still background: what passes in front of it is the same thing before a plain wall or the sky
    fade = torch.from_numpy((rng.uniform(0, 1, (n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < .6)).astype(np.float32))
    x[:, 0::2] += fade * (x[:, 1::2] - x[:, 0::2])
    gain = np.exp(rng.normal(size=(n, 1, 1, 1)) * .35) * rng.choice([-1, 1], (n, 1, 1, 1))
    x = x * torch.from_numpy(gain.astype(np.float32))
    return x + torch.randn(x.shape) * torch.from_numpy(rng.uniform(0, .05, (n, 1, 1, 1)).astype(np.float32))


def train(args):
    import torch
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    data = np.load(args.train)
    x, y, source = data["stacks"], data["classes"], data["sources"]
    count = np.bincount(y, minlength=len(CLASSES))
    weight = (1 / np.maximum(count, 20))[y] ** .75 * np.where(source == 1, args.dump_weight, 1.0)
    weight /= weight.sum()
    net = network()
    steps_per_epoch = max(1, min(len(x), 6000) // 64)
    opt = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-3)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, 4e-3, total_steps=args.epochs * steps_per_epoch)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=.01)
    for epoch in range(args.epochs):
        net.train()
        began, total = time.monotonic(), 0.0
        for _ in range(steps_per_epoch):
            pick = rng.choice(len(x), 64, p=weight)
            batch = augment(x[pick].astype(np.float32), rng)
            loss = loss_of(net.logits(batch), torch.from_numpy(y[pick]))
            opt.zero_grad()
            loss.backward()
            opt.step()
            plan.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{args.epochs} loss {total / steps_per_epoch:.4f} {time.monotonic() - began:.1f} s", flush=True)
    net.eval()
    export(net)


def export(net):
    import torch
    torch.onnx.export(net, (torch.zeros(2, 2 * K, SIDE, SIDE),), str(FILE), input_names=["patches"], output_names=["scores"],
                      dynamic_axes={"patches": {0: "n"}, "scores": {0: "n"}}, opset_version=17, dynamo=False)


def scores_of(stacks):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(FILE), options)
    began = time.monotonic()
    out = [session.run(None, {"patches": stacks[i:i + 16].astype(np.float32)})[0] for i in range(0, len(stacks), 16)]
    print(f"{FILE.stat().st_size / 1e3:.0f} kB, {(time.monotonic() - began) / max(1, len(stacks)) * 1e3:.2f} ms a stack on one thread")
    return np.concatenate(out)


def evaluate(args):
    """Prints the confusion tables of the held-out clips; returns the threshold."""
    data = np.load(args.test)
    x, y, source = data["stacks"], data["classes"], data["sources"]
    s = scores_of(x)
    falling = s[:, 0] + s[:, 1]
    falls = falling[y == 0]
    threshold = float(np.floor(np.quantile(falls, 1 - FALLS_KEPT) * 200) / 200)
    threshold = min(.2, max(.005, threshold))
    for value, what in ((0, "stacks cut along the truth"), (1, "tracks that the tracker made")):
        m = source == value
        if not m.any():
            continue
        print(f"\n{what}: {m.sum()} (rows: truth; columns: answer)")
        print(f"{'':18}" + "".join(f"{c[:9]:>10}" for c in CLASSES) + f"{'vetoed':>10}")
        for k, name in enumerate(CLASSES):
            rows = m & (y == k)
            if rows.any():
                answers = np.bincount(s[rows].argmax(1), minlength=len(CLASSES))
                print(f"{name:18}" + "".join(f"{v:10d}" for v in answers) + f"{(falling[rows] < threshold).mean():10.3f}")
        real, other = falling[m & (y == 0)], falling[m & (y > 1)]
        print(f"right class: {(s[m].argmax(1) == y[m]).mean():.3f}; falls kept at {threshold:.3f}: "
              f"{(real >= threshold).mean() if len(real) else float('nan'):.4f} of {len(real)}; clutter vetoed: {(other < threshold).mean():.3f} of {len(other)}")
    return threshold


def write_table(threshold):
    """Writes the file's hash and the threshold into the [verifier] table of models.toml."""
    path = MODELS / "models.toml"
    text = path.read_text()
    digest = hashlib.sha256(FILE.read_bytes()).hexdigest()
    head, mark, rest = text.partition("[verifier]\n")
    if not mark:
        raise SystemExit(f"{path} has no [verifier] table")
    rest = re.sub(r'sha256 = "[0-9a-f]*"', f'sha256 = "{digest}"', rest, count=1)
    rest = re.sub(r"(?m)^threshold = [0-9.]+", f"threshold = {threshold:.3f}", rest, count=1)
    path.write_text(head + mark + rest)
    print(f"sha256 {digest}, threshold {threshold:.3f}")


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--evaluate", action="store_true", help="only evaluate the shipped file")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dump-weight", type=float, default=2.0)
    args = parser.parse_args(argv)
    if not args.evaluate:
        train(args)
    threshold = evaluate(args)
    if not args.evaluate:
        write_table(threshold)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
