"""Trains the e-bike detector on the CPU, with checkpoints; a stopped run goes on where it was.

    python models/training/ebike_train.py --weights PUBLISHED.onnx --rendered models/training/out/rendered \
        --real ../shared/data/ebike --cutouts models/training/out/cutouts --hold-out lily --steps 1500 --out models/training/out/run

Writes checkpoint.pt (weights, averaged weights, optimiser, step), log.txt and ebike.onnx into --out.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ebike_data import EBIKE, Cutouts, augmented, real_items, rendered_items
from ebike_model import BINS, CLASSES, Detector, decode, priors

WIDTH, HEIGHT = 384, 256
HARD_MAX = 100_000  # rendered pictures whose difficulty is remembered


def iou(a: torch.Tensor, b: torch.Tensor, generalised: bool = False) -> torch.Tensor:
    """IoU of boxes [..., 4] that broadcast against each other."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inner = (high - low).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1) + (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1) - inner
    value = inner / union.clamp(min=1e-6)
    if generalised:
        hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1).clamp(min=1e-6)
        value = value - (hull - union) / hull
    return value


def assign(logits: torch.Tensor, boxes: torch.Tensor, prior: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which prior learns which box (SimOTA): the cheapest few inside each box, as many as its best overlaps add up to.

    Returns per prior the index of its box or -1, and the overlap that its score should tell.
    """
    n = len(prior)
    match, overlap = torch.full((n,), -1, dtype=torch.long), torch.zeros(n)
    if not len(truth):
        return match, overlap
    box = truth[:, 1:]
    centre = prior[:, :2]
    inside = ((centre[None] > box[:, None, :2]) & (centre[None] < box[:, None, 2:])).all(-1)
    mid, reach = (box[:, :2] + box[:, 2:]) / 2, 2.0 * prior[None, :, 2]
    near = ((centre[None] - mid[:, None]).abs() < reach[..., None]).all(-1)
    far = torch.maximum(centre[None] - box[:, None, :2], box[:, None, 2:] - centre[None]).amax(-1)
    reachable = far < (BINS - 1) * prior[None, :, 2] * 1.15
    candidate = (inside | near) & reachable
    with torch.no_grad():
        overlaps = iou(box[:, None], boxes[None]) * candidate
        score = logits[:, truth[:, 0].long()].T
        cost_class = F.binary_cross_entropy_with_logits(score, overlaps, reduction="none") * (overlaps - score.sigmoid()).abs() ** 2
        soft_centre = 10 ** (((centre[None] - mid[:, None]) / prior[None, :, 2:3]).norm(dim=-1) - 3).clamp(max=4)
        cost = cost_class + 3.0 * -torch.log(overlaps + 1e-7) + soft_centre * 0.3 + (~candidate) * 1e6
        best = torch.full((n,), 1e5)
        for g in range(len(truth)):
            k = int(overlaps[g].topk(min(13, n)).values.sum().clamp(min=1).round())
            chosen = cost[g].topk(min(k, n), largest=False).indices
            chosen = chosen[cost[g][chosen] < 1e5]
            better = chosen[cost[g][chosen] < best[chosen]]
            match[better], best[better], overlap[better] = g, cost[g][better], overlaps[g][better]
    return match, overlap


def loss_of(logits, bins, prior, truths, known) -> tuple[torch.Tensor, list[float]]:
    """Quality focal loss on scores, generalised IoU and distribution focal loss on boxes, over a batch, and a loss per picture.

    Returns the sum, and for each picture how wrong the model was about e-bikes.
    """
    boxes = decode(bins, prior)
    score_loss, box_loss, bin_loss, picture_loss, weight_sum, positives = 0.0, 0.0, 0.0, 0.0, 1e-3, 0
    wrong = [0.0] * len(truths)
    for b, truth in enumerate(truths):
        real = truth[truth[:, 0] >= 0]
        match, overlap = assign(logits[b].detach(), boxes[b].detach(), prior, real)
        target = torch.zeros_like(logits[b])
        weight = known[b].expand_as(target).clone()
        for ignored in truth[truth[:, 0] < 0]:
            within = ((prior[:, :2] > ignored[1:3]) & (prior[:, :2] < ignored[3:5])).all(-1)
            weight[within] = 0
        rows = (match >= 0).nonzero().squeeze(1)
        if len(rows):
            kind = real[match[rows], 0].long()
            target[rows, kind] = overlap[rows]
            weight[rows, kind] = 1
            quality = overlap[rows].clamp(min=0.05)
            wanted = real[match[rows], 1:]
            box_loss = box_loss + (quality * (1 - iou(boxes[b][rows], wanted, generalised=True))).sum()
            distance = torch.cat([prior[rows, :2] - wanted[:, :2], wanted[:, 2:] - prior[rows, :2]], 1) / prior[rows, 2:3]
            distance = distance.clamp(0, BINS - 1.01)
            low = distance.long()
            logp = bins[b][rows].unflatten(-1, (4, BINS)).log_softmax(-1)
            part = distance - low
            dfl = -(logp.gather(-1, low[..., None]).squeeze(-1) * (1 - part) + logp.gather(-1, low[..., None] + 1).squeeze(-1) * part)
            bin_loss = bin_loss + (quality[:, None] * dfl).sum() / 4
            weight_sum = weight_sum + float(quality.sum())
            positives += len(rows)
        if known[b, EBIKE] > 0:
            own_loss = picture_loss_of(logits[b][:, EBIKE], match, real, weight[:, EBIKE], prior)
            wrong[b] = float(own_loss.detach())
            picture_loss = picture_loss + own_loss
        probability = logits[b].sigmoid()
        focal = F.binary_cross_entropy_with_logits(logits[b], target, reduction="none") * (target - probability).abs() ** 2
        score_loss = score_loss + (focal * weight).sum()
    loss = 2.5 * score_loss / max(positives, 1) + 2.0 * box_loss / weight_sum + 0.25 * bin_loss / weight_sum + picture_loss / len(truths)
    return loss, wrong


def picture_loss_of(logit, match, real, weight, prior) -> torch.Tensor:
    """What an alarm hangs on: the surest prior of each e-bike must be sure, and the surest eight beside them must not be.

    The focal loss hardly moves a false score of 0.3; the share of pictures wrongly called an e-bike is made of just those.
    """
    ours = (real[:, 0] == EBIKE).nonzero().squeeze(1)
    outside = weight > 0
    loss = logit.new_zeros(())
    for g in ours:
        low, high = real[g, 1:3], real[g, 3:5]
        outside &= ~((prior[:, :2] > low - prior[:, 2:3]) & (prior[:, :2] < high + prior[:, 2:3])).all(-1)
        rows = match == g
        if rows.any():
            loss = loss + F.softplus(-logit[rows].max()) / len(ours)
    return loss + F.softplus(logit[outside].topk(min(8, int(outside.sum()))).values).mean() if outside.any() else loss


class Feed(torch.utils.data.IterableDataset):
    """An endless stream of training pictures: real ones by how much a set has to teach, rendered ones by what the model gets wrong.

    `hard` [rendered pictures] is shared with the trainer, which writes there how wrong the model was last time: a picture of a
    pram that was called an e-bike comes again soon. The folder of rendered pictures is read again now and then: rendering may
    still be going on.
    """

    def __init__(self, real, rendered: Path | None, share_real: float, cutouts: Cutouts, size: tuple[int, int], seed: int, hard: torch.Tensor) -> None:
        self.real, self.rendered, self.share_real, self.cutouts, self.size, self.seed, self.hard = real, rendered, share_real, cutouts, size, seed, hard

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        cv2.setNumThreads(1)
        real, rendered, drawn, odds = self.real, [], 0, None
        per_set = {"x50998": 3.0, "lily": 4.0, "etoiles": 4.0, "gumplyz": 2.0, "voc2007": 2.0, "wheelchair": 1.3}
        # A bicycle or pram in a real car teaches most.
        real_odds = np.array([per_set[i.source] * (2.5 if i.source == "x50998" and EBIKE not in i.boxes[:, 0] else 1.0) for i in real])
        real_odds /= max(real_odds.sum(), 1e-9)
        while True:
            if self.rendered and drawn % 1000 == 0:
                rendered = [i for i in rendered_items(self.rendered) if i.part == "train" and int(i.path.stem) < len(self.hard)]
                numbers = np.array([int(i.path.stem) for i in rendered])
                odds = np.cumsum(0.25 + self.hard.numpy()[numbers]) if rendered else None
            drawn += 1
            if real and (rng.random() < self.share_real or not rendered):
                item, number = real[int(rng.choice(len(real), p=real_odds))], -1
            else:
                pick = int(np.searchsorted(odds, rng.random() * odds[-1], side="right"))
                item, number = rendered[pick], int(numbers[pick])
            picture, boxes, known_classes = augmented(item, *self.size, rng, self.cutouts)
            known = np.zeros(len(CLASSES), np.float32)
            known[known_classes] = 1
            yield torch.from_numpy(picture).permute(2, 0, 1), torch.from_numpy(boxes), torch.from_numpy(known), number


def collate(batch):
    return torch.stack([b[0] for b in batch]).float(), [b[1] for b in batch], torch.stack([b[2] for b in batch]), [b[3] for b in batch]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="nanodet-plus-m_dynamic_coco.onnx")
    parser.add_argument("--rendered", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--cutouts", type=Path, help="what ebike_cutouts.py wrote")
    parser.add_argument("--hold-out", nargs="*", default=[], help="real sets that are left out entirely, their cut-outs too")
    parser.add_argument("--share-real", type=float, default=0.35)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, nargs=2, default=[WIDTH, HEIGHT], help="multiples of 32; smaller is faster and teaches the same shapes")
    parser.add_argument("--frozen", type=int, default=4, help="first blocks that keep the published weights")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="checkpoint whose averaged weights to begin with")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


class Run:
    """The weights in training, their running average and the optimiser, with a checkpoint that a stopped run goes on from."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.step, self.running = args, 0, 0.0
        self.model = Detector(args.weights, fresh_head=True, frozen_shuffles=args.frozen).to(memory_format=torch.channels_last)
        self.model.check_shuffles()
        self.average = copy.deepcopy(self.model)
        self.optimiser = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=args.rate, weight_decay=0.01)
        self.hard = torch.full((HARD_MAX,), 0.5).share_memory_()
        self.checkpoint = args.out / "checkpoint.pt"
        if self.checkpoint.exists():
            saved = torch.load(self.checkpoint)
            self.model.load_state_dict(saved["model"])
            self.average.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.hard.copy_(saved["hard"])
            self.step = saved["step"]
        elif args.start:
            state = torch.load(args.start)["average"]
            self.model.load_state_dict(state)
            self.average.load_state_dict(state)

    def learn(self, batch, prior: torch.Tensor) -> None:
        pictures, truths, known, numbers = batch
        rate = self.args.rate * min(1.0, (self.step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * min(1.0, self.step / self.args.steps))))
        for group in self.optimiser.param_groups:
            group["lr"] = float(rate)
        logits, bins = self.model(pictures)
        loss, per_picture = loss_of(logits, bins, prior, truths, known)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        keep = min(0.998, self.step / (self.step + 20))
        with torch.no_grad():
            for a, m in zip(self.average.parameters(), self.model.parameters()):
                a.lerp_(m, 1 - keep)
        for number, wrong in zip(numbers, per_picture):
            if number >= 0:
                self.hard[number] = 0.5 * self.hard[number] + 0.5 * min(wrong, 3.0)
        self.running = 0.97 * self.running + 0.03 * float(loss.detach()) if self.running else float(loss.detach())

    def save(self) -> None:
        part = self.checkpoint.with_suffix(".part")
        torch.save({"model": self.model.state_dict(), "average": self.average.state_dict(), "optimiser": self.optimiser.state_dict(),
                    "hard": self.hard, "step": self.step}, part)
        part.rename(self.checkpoint)
        self.average.save_onnx(self.args.out / "ebike.onnx", HEIGHT, WIDTH)


def main() -> None:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    items = [i for i in (real_items(args.real) if args.real else []) if i.part == "train" and i.source not in args.hold_out]
    run = Run(args)
    feed = Feed(items, args.rendered, args.share_real, Cutouts(args.cutouts, args.hold_out), tuple(args.size), args.seed + run.step, run.hard)
    batches = iter(torch.utils.data.DataLoader(feed, args.batch, num_workers=1, collate_fn=collate, prefetch_factor=4))
    prior = torch.from_numpy(priors(args.size[1], args.size[0]))
    log = (args.out / "log.txt").open("a")
    print(f"{len(items)} real pictures, from step {run.step} to {args.steps}, {args.size[0]}x{args.size[1]}", file=log, flush=True)
    began = time.monotonic()
    first = run.step
    while run.step < args.steps:
        run.learn(next(batches), prior)
        if run.step % 20 == 0:
            speed = (run.step - first) * args.batch / (time.monotonic() - began)
            print(f"step {run.step} loss {run.running:.3f} {speed:.1f} pictures a second", file=log, flush=True)
        if run.step % 100 == 0 or run.step == args.steps:
            run.save()


if __name__ == "__main__":
    main()
