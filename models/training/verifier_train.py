"""Trains, evaluates and exports the verifier: models/verifier.onnx.

  python verifier_train.py --train out/train.npz [--device cuda] [--share 1] [--seed 1] [--out out/verifier]   # goes on from its checkpoints
  python verifier_train.py --evaluate --test out/test.npz                                          # the shipped file, through onnxruntime

Clips whose number ends in 0 or 5 are no training input: the threshold is set on them. It is the sum of the scores of falling and
drifting objects under which a track is vetoed, the highest that lets FALLS_KEPT of the falls there pass.
"""
import argparse
import hashlib
import math
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verifier_stacks import CLASSES, MOMENTS, SIDE, VIEWS

MODELS = Path(__file__).resolve().parents[1]
FILE = MODELS / "verifier.onnx"
FALLS_KEPT = 0.995
OPSET = 17
BATCH = 256


@dataclass(frozen=True)
class Plan:
    """A network's size and how it is trained."""

    near: tuple
    wide: tuple
    along: int
    drop: float
    decay: float
    steps: int
    rate: float = 4e-3


# The shipped file answers with the mean of two: the larger one tells more apart, the smaller one, trained for less time, is seldom
# sure of what is wrong. Together they veto more at the same loss of falls than either.
PLANS = [Plan((16, 24, 40), (12, 20, 32), 64, .2, 2e-3, 4000), Plan((24, 40, 64), (16, 32, 48), 96, .3, 1e-2, 5000)]


def network(plan):
    from torch import cat, nn

    def cnn(channels):
        layers = []
        for a, b, kernel, stride in zip((2, *channels), channels, (5, 3, 3), (2, 2, 1)):
            layers += [nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        return nn.Sequential(*layers)

    class Verifier(nn.Module):
        """Two small CNNs look at each of the 8 moments, one near and one wide; a third one looks along time."""

        def __init__(self):
            super().__init__()
            self.near, self.wide = cnn(plan.near), cnn(plan.wide)
            self.features = 2 * (plan.near[-1] + plan.wide[-1])
            self.along = nn.Sequential(nn.Conv1d(self.features, plan.along, 3, padding=1), nn.ReLU(),
                                       nn.Conv1d(plan.along, plan.along, 3, padding=1), nn.ReLU())
            self.drop = nn.Dropout(plan.drop)
            self.out = nn.Linear(2 * plan.along, len(CLASSES))

        def forward(self, patches):
            views = patches.reshape(-1, VIEWS, SIDE, SIDE)
            found = []
            for net, view in ((self.near, views[:, :2]), (self.wide, views[:, 2:])):
                f = net(view)  # [n, c, 8, 8]
                found += [f[:, :, 3:5, 3:5].mean((2, 3)), f.mean((2, 3))]  # where the thing is; it and its surroundings
            f = cat(found, 1).reshape(-1, MOMENTS, self.features).transpose(1, 2)
            f = self.along(f)
            return self.out(self.drop(cat([f.mean(2), f.amax(2)], 1)))

    return Verifier()


def together(nets):
    from torch import nn

    class Together(nn.Module):
        """What ships: the softmax of the networks' mean."""

        def __init__(self):
            super().__init__()
            self.nets = nn.ModuleList(nets)

        def forward(self, patches):
            return (sum(net(patches) for net in self.nets) / len(self.nets)).softmax(1)

    return Together().eval()


def augment(x):
    """Changes a batch [n, 32, 32, 32] as other cameras, walls and ages of the track would."""
    import torch
    from torch.nn import functional
    n, device = len(x), x.device

    def uniform(*shape):
        return torch.rand((n, *shape), device=device)

    # a younger track: fewer moments, some of them twice
    first = torch.randint(0, MOMENTS - 3, (n,), device=device)
    last = torch.clamp(first + 3 + torch.floor(uniform() * (MOMENTS - 3 - first)).long(), max=MOMENTS - 1)
    young = torch.round(first[:, None] + (last - first)[:, None] * torch.linspace(0, 1, MOMENTS, device=device)).long()
    moments = torch.where((uniform() < .4)[:, None], young, torch.arange(MOMENTS, device=device).expand(n, MOMENTS))
    x = x.reshape(n, MOMENTS, VIEWS, SIDE, SIDE)
    x = torch.gather(x, 1, moments[:, :, None, None, None].expand(x.shape)).reshape(n, MOMENTS * VIEWS, SIDE, SIDE)
    # nearer, mirrored, a little aside
    zoom = torch.exp(math.log(.75) + uniform() * math.log(1.45 / .75)).clamp(min=1)
    zoom = torch.where(uniform() < .5, zoom, torch.ones_like(zoom))
    place = torch.zeros(n, 2, 3, device=device)
    place[:, 0, 0] = torch.where(uniform() < .5, -1., 1.) / zoom
    place[:, 1, 1] = 1 / zoom
    place[:, :, 2] = torch.randint(-2, 3, (n, 2), device=device) * (2 / SIDE)
    grid = functional.affine_grid(place, x.shape, align_corners=False)
    x = functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    soft = (.2 + .8 * uniform(1, 1, 1)) * (uniform(1, 1, 1) < .35)
    x = x + soft * (functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False) - x)
    views = x.reshape(n, MOMENTS, VIEWS, SIDE, SIDE)
    # fade the still background: what passes in front of it is the same thing before a plain wall or the sky
    fade = uniform(1, 1, 1, 1) * (uniform(1, 1, 1, 1) < .5)
    luma = views[:, :, 0::2] + fade * (views[:, :, 1::2] - views[:, :, 0::2])
    x = torch.stack([luma, views[:, :, 1::2]], 3).reshape(n, MOMENTS * VIEWS, SIDE, SIDE)
    gain = torch.exp(.5 * torch.randn(n, 1, 1, 1, device=device)) * torch.where(uniform(1, 1, 1) < .5, -1., 1.)
    noise = .06 * uniform(1, 1, 1) * (uniform(1, 1, 1) < .6)
    return x * gain + torch.randn_like(x) * noise


def kept_out(clips):
    return np.array([name[0] == "c" and name[-1] in "05" for name in clips])


def weights_of(data, rows):
    """Returns how often each row is drawn: rare classes more, what the judge lets through, or might, much more."""
    y = data["classes"][rows]
    count = np.bincount(y, minlength=len(CLASSES))
    weight = np.maximum(count, 30)[y] ** -.7 * np.where((data["passed"] | data["doubtful"])[rows], 4.0, 1.0)
    # falls as often as all the rest together
    weight[y == 0] *= .7 * weight[y != 0].sum() / max(weight[y == 0].sum(), 1e-9)
    return weight / weight.sum()


def train(args):
    import torch
    torch.set_num_threads(args.threads)
    data = dict(np.load(args.train))
    args.out.mkdir(parents=True, exist_ok=True)
    rows = np.nonzero(~kept_out(data["clips"]))[0]
    nets = [train_one(args, number, plan, data, rows) for number, plan in enumerate(PLANS)]
    torch.onnx.export(together(nets), (torch.zeros(2, MOMENTS * VIEWS, SIDE, SIDE),), str(args.model), input_names=["patches"], output_names=["scores"],
                      dynamic_axes={"patches": {0: "n"}, "scores": {0: "n"}}, opset_version=OPSET, dynamo=False)
    keep = kept_out(data["clips"])
    return {key: value[keep] for key, value in data.items()}


def train_one(args, number, plan, data, rows):
    import torch
    from torch.nn import functional
    torch.manual_seed(args.seed + number)
    device, steps = torch.device(args.device), max(2, round(plan.steps * args.share))
    # On a graphics card all stacks lie in its memory: drawing them from the other side takes longer than learning.
    stacks, classes = torch.from_numpy(data["stacks"]).to(device), torch.from_numpy(data["classes"]).to(device)
    weight, rows = torch.from_numpy(weights_of(data, rows)).to(device), torch.from_numpy(rows).to(device)
    net = network(plan).to(device)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=plan.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=steps)
    checkpoint, step = args.out / f"checkpoint-{number}.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        net.load_state_dict(state["net"]), optimiser.load_state_dict(state["optimiser"]), schedule.load_state_dict(state["schedule"])
        step = state["step"]
        torch.manual_seed(1000 * (args.seed + number) + step)
    net.train()
    began, total, seen = time.monotonic(), 0.0, 0
    while step < steps:
        pick = rows[torch.multinomial(weight, BATCH, replacement=True)]
        truth = classes[pick]
        logits = net(augment(stacks[pick].float()))
        falls = torch.logsumexp(logits[:, :2], 1) - torch.logsumexp(logits[:, 2:], 1)
        loss = functional.cross_entropy(logits, truth, label_smoothing=.01) + functional.binary_cross_entropy_with_logits(falls, (truth < 2).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        step, total, seen = step + 1, total + loss.item(), seen + 1
        if step % 100 == 0 or step == steps:
            print(f"network {number}, step {step}/{steps}, loss {total / seen:.4f}, {time.monotonic() - began:.0f} s", flush=True)
            total, seen = 0.0, 0
            torch.save({"net": net.state_dict(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict(), "step": step}, checkpoint)
    return net.cpu().eval()


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
    doubtful = data["doubtful"]
    for m, what in ((data["passed"], "tracks that the judge lets through"), (doubtful, "tracks that lack nothing but evidence"),
                    (~data["passed"] & ~doubtful, "tracks that the judge turns down")):
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
    parser.add_argument("--share", type=float, default=1, help="of the steps: to see that it works")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "out" / "verifier", help="folder of the checkpoints")
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
