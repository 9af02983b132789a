"""Trains, evaluates and exports the verifier: models/verifier.onnx.

  python verifier_train.py --train out/train.npz [--steps 3000] [--seed 1] [--out out/verifier]     # goes on from its checkpoint
  python verifier_train.py --evaluate --test out/test.npz                                           # the shipped file, through onnxruntime

Clips whose number ends in 0 or 5 are no training input: the threshold is set on them. It is the sum of the scores of falling and
drifting objects under which a track is vetoed, the highest that lets FALLS_KEPT of the falls there pass.
"""
import argparse
import hashlib
import re
import sys
import time
from pathlib import Path

import numpy as np

from verifier_stacks import CLASSES, MOMENTS, SIDE, VIEWS

MODELS = Path(__file__).resolve().parents[1]
FILE = MODELS / "verifier.onnx"
FALLS_KEPT = 0.995
OPSET = 17
BATCH = 64


def network():
    import torch
    from torch import nn

    def block(a, b, kernel, stride):
        return [nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

    class Verifier(nn.Module):
        """Two small CNNs look at each of the 8 moments, one near and one wide; a third one looks along time."""

        def __init__(self):
            super().__init__()
            self.near = nn.Sequential(*block(2, 16, 5, 2), *block(16, 24, 3, 2), *block(24, 40, 3, 1))
            self.wide = nn.Sequential(*block(2, 12, 5, 2), *block(12, 20, 3, 2), *block(20, 32, 3, 1))
            self.along = nn.Sequential(nn.Conv1d(144, 64, 3, padding=1), nn.ReLU(), nn.Conv1d(64, 64, 3, padding=1), nn.ReLU())
            self.drop = nn.Dropout(.2)
            self.out = nn.Linear(128, len(CLASSES))

        def logits(self, patches):
            views = patches.reshape(-1, VIEWS, SIDE, SIDE)
            found = []
            for net, view in ((self.near, views[:, :2]), (self.wide, views[:, 2:])):
                f = net(view)  # [n, c, 8, 8]
                found += [f[:, :, 3:5, 3:5].mean((2, 3)), f.mean((2, 3))]  # where the thing is; it and its surroundings
            f = torch.cat(found, 1).reshape(-1, MOMENTS, 144).transpose(1, 2)
            f = self.along(f)
            return self.out(self.drop(torch.cat([f.mean(2), f.amax(2)], 1)))

        def forward(self, patches):
            return self.logits(patches).softmax(1)

    return Verifier()


def augment(x, rng):
    """Changes a batch [n, 32, 32, 32] as other cameras, walls and ages of the track would."""
    import torch
    from torch.nn import functional
    n = len(x)
    x = torch.from_numpy(x).reshape(n, MOMENTS, VIEWS, SIDE, SIDE)
    for k in np.nonzero(rng.random(n) < .4)[0]:  # a younger track: fewer moments, some of them twice
        first, last = sorted(rng.choice(MOMENTS, 2, replace=False))
        if last - first >= 3:
            x[k] = x[k, np.round(np.linspace(first, last, MOMENTS)).astype(int)].clone()
    flip = torch.from_numpy(rng.random(n) < .5)
    x[flip] = x[flip].flip(-1)
    x = x.reshape(n, MOMENTS * VIEWS, SIDE, SIDE)
    zoom = float(np.exp(rng.uniform(np.log(.75), np.log(1.45))))
    size = max(SIDE, int(round(SIDE * zoom))) if rng.random() < .5 else SIDE
    if size != SIDE:
        x = functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
    x = functional.pad(x, (3, 3, 3, 3), mode="replicate")
    a, b = (int(v) + (size - SIDE) // 2 for v in rng.integers(1, 6, 2))
    x = x[:, :, a:a + SIDE, b:b + SIDE]
    soft = torch.from_numpy((rng.uniform(.2, 1, (n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < .35)).astype(np.float32))
    x = x + soft * (functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False) - x)
    views = x.reshape(n, MOMENTS, VIEWS, SIDE, SIDE)
    # fade the still background: what passes in front of it is the same thing before a plain wall or the sky
    fade = torch.from_numpy((rng.uniform(0, 1, (n, 1, 1, 1, 1)) * (rng.random((n, 1, 1, 1, 1)) < .5)).astype(np.float32))
    luma = views[:, :, 0::2] + fade * (views[:, :, 1::2] - views[:, :, 0::2])
    views = torch.stack([luma, views[:, :, 1::2]], 3).reshape(n, MOMENTS * VIEWS, SIDE, SIDE)
    gain = np.exp(rng.normal(size=(n, 1, 1, 1)) * .5) * rng.choice([-1, 1], (n, 1, 1, 1))
    views = views * torch.from_numpy(gain.astype(np.float32))
    noise = torch.from_numpy((rng.uniform(0, .06, (n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < .6)).astype(np.float32))
    return views + torch.randn(views.shape) * noise


def kept_out(clips):
    return np.array([name[-1] in "05" for name in clips])


def weights_of(data, rows):
    """Returns how often each row is drawn: rare classes more, what the judge lets through much more."""
    y = data["classes"][rows]
    count = np.bincount(y, minlength=len(CLASSES))
    weight = np.maximum(count, 30)[y] ** -.7 * np.where(data["passed"][rows], 4.0, 1.0)
    # falls as often as all the rest together
    weight[y == 0] *= .7 * weight[y != 0].sum() / max(weight[y == 0].sum(), 1e-9)
    return weight / weight.sum()


def train(args):
    import torch
    from torch.nn import functional
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    data = dict(np.load(args.train))
    x, y = data["stacks"], data["classes"]
    rows = np.nonzero(~kept_out(data["clips"]))[0]
    weight = weights_of(data, rows)
    net = network().to(memory_format=torch.channels_last)  # a fifth faster on a CPU
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=2e-3)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.rate, total_steps=args.steps)
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / "checkpoint.pt"
    step = 0
    if args.start:  # weights alone, with a schedule of its own
        net.load_state_dict(torch.load(args.start, weights_only=True)["net"])
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"]), optimiser.load_state_dict(state["optimiser"]), plan.load_state_dict(state["plan"])
        step = state["step"]
        rng = np.random.default_rng([args.seed, step])
    net.train()
    began, total, seen = time.monotonic(), 0.0, 0
    while step < args.steps:
        pick = rng.choice(rows, BATCH, p=weight)
        batch = augment(x[pick].astype(np.float32), rng)
        truth = torch.from_numpy(y[pick])
        logits = net.logits(batch)
        falls = torch.logsumexp(logits[:, :2], 1) - torch.logsumexp(logits[:, 2:], 1)
        loss = functional.cross_entropy(logits, truth, label_smoothing=.01) + functional.binary_cross_entropy_with_logits(falls, (truth < 2).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        plan.step()
        step, total, seen = step + 1, total + loss.item(), seen + 1
        if step % 100 == 0 or step == args.steps:
            print(f"step {step}/{args.steps} loss {total / seen:.4f} {time.monotonic() - began:.0f} s", flush=True)
            total, seen = 0.0, 0
            torch.save({"net": net.state_dict(), "optimiser": optimiser.state_dict(), "plan": plan.state_dict(), "step": step}, checkpoint)
    net.eval()
    torch.onnx.export(net, (torch.zeros(2, MOMENTS * VIEWS, SIDE, SIDE),), str(args.model), input_names=["patches"], output_names=["scores"],
                      dynamic_axes={"patches": {0: "n"}, "scores": {0: "n"}}, opset_version=OPSET, dynamo=False)
    keep = kept_out(data["clips"])
    return {key: value[keep] for key, value in data.items()}


def scores_of(model, stacks):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options)
    out = [session.run(None, {"patches": stacks[i:i + 32].astype(np.float32)})[0] for i in range(0, len(stacks), 32)]
    one = stacks[:1].astype(np.float32)
    began = time.process_time()
    for _ in range(100):
        session.run(None, {"patches": one})
    print(f"{model.stat().st_size / 1e3:.0f} kB, {(time.process_time() - began) * 10:.2f} ms of processor time a stack on one thread")
    return np.concatenate(out)


def threshold_of(data, scores):
    """Returns the highest threshold that lets FALLS_KEPT of the falls that the judge lets through pass."""
    falling = scores[:, 0] + scores[:, 1]
    falls = falling[(data["classes"] == 0) & data["passed"]]
    return float(np.floor(np.quantile(falls, 1 - FALLS_KEPT, method="lower") * 1000) / 1000)


def table(data, scores, threshold):
    falling = scores[:, 0] + scores[:, 1]
    for value, what in ((True, "tracks that the judge lets through"), (False, "tracks that the judge turns down")):
        m = data["passed"] == value
        print(f"\n{what}: {m.sum()} (rows: truth; columns: answer; least and middle of falling + drifting)")
        print(f"{'':18}" + "".join(f"{c[:8]:>9}" for c in CLASSES) + f"{'vetoed':>9}{'of':>6}{'least':>9}{'middle':>9}")
        for k, name in enumerate(CLASSES):
            rows = m & (data["classes"] == k)
            if rows.any():
                answers = np.bincount(scores[rows].argmax(1), minlength=len(CLASSES))
                print(f"{name:18}" + "".join(f"{v:9d}" for v in answers) + f"{(falling[rows] < threshold).sum():9d}{rows.sum():6d}"
                      f"{falling[rows].min():9.4f}{np.median(falling[rows]):9.4f}")
        clutter = m & (data["classes"] > 1)
        print(f"right class {(scores[m].argmax(1) == data['classes'][m]).mean():.3f}; clutter vetoed at {threshold:.3f}: "
              f"{(falling[clutter] < threshold).sum()} of {clutter.sum()}")


def write_table(model, threshold):
    """Writes the file's hash and the threshold into the [verifier] table of models.toml."""
    path = MODELS / "models.toml"
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    head, mark, rest = path.read_text().partition("[verifier]\n")
    if not mark:
        raise SystemExit(f"{path} has no [verifier] table")
    rest = re.sub(r'sha256 = "[0-9a-f]*"', f'sha256 = "{digest}"', rest, count=1)
    rest = re.sub(r"(?m)^threshold = [0-9.]+", f"threshold = {threshold:.3f}", rest, count=1)
    path.write_text(head + mark + rest)
    print(f"sha256 {digest}, threshold {threshold:.3f}")


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--evaluate", action="store_true", help="only evaluate the shipped file, at the threshold in models.toml")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=4e-3, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "out" / "verifier", help="folder of the checkpoint")
    parser.add_argument("--start", type=Path, help="a checkpoint whose weights to begin with")
    parser.add_argument("--model", type=Path, default=FILE, help="the ONNX file to write or evaluate")
    args = parser.parse_args(argv)
    threshold = None
    if not args.evaluate:
        kept = train(args)
        scores = scores_of(args.model, kept["stacks"])
        threshold = threshold_of(kept, scores)
        print("\nclips kept out of training, on which the threshold was set:")
        table(kept, scores, threshold)
        if args.model == FILE:
            write_table(args.model, threshold)
    if args.test:
        data = dict(np.load(args.test))
        if threshold is None:
            threshold = float(re.search(r"(?m)^threshold = ([0-9.]+)", (MODELS / "models.toml").read_text().partition("[verifier]\n")[2])[1])
        print("\nheld-out clips:")
        table(data, scores_of(args.model, data["stacks"]), threshold)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
