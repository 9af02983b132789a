"""Trains the e-bike detector on the CPU, with checkpoints; a stopped run goes on where it was.

    python models/training/ebike_train.py --weights PUBLISHED.onnx --rendered models/training/out/rendered \
        --real ../shared/data/ebike --hold-out lily --minutes 25 --out models/training/out/run

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

from ebike_data import EBIKE, augmented, real_items, rendered_items
from ebike_model import BINS, CLASSES, Detector, decode, priors

WIDTH, HEIGHT = 384, 256


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


def loss_of(logits, bins, prior, truths, known) -> torch.Tensor:
    """Quality focal loss on scores, generalised IoU and distribution focal loss on boxes, over a batch; and a loss per picture."""
    boxes = decode(bins, prior)
    score_loss, box_loss, bin_loss, picture_loss, weight_sum, positives = 0.0, 0.0, 0.0, 0.0, 1e-3, 0
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
            picture_loss = picture_loss + picture_loss_of(logits[b][:, EBIKE], match, real, weight[:, EBIKE], prior)
        probability = logits[b].sigmoid()
        focal = F.binary_cross_entropy_with_logits(logits[b], target, reduction="none") * (target - probability).abs() ** 2
        score_loss = score_loss + (focal * weight).sum()
    return (2.5 * score_loss / max(positives, 1) + 2.0 * box_loss / weight_sum + 0.25 * bin_loss / weight_sum
            + 1.0 * picture_loss / len(truths))


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
    """An endless stream of training pictures; small real sets are drawn more often than their numbers.

    The folder of rendered pictures is read again now and then: rendering may still be going on.
    """

    def __init__(self, real, rendered: Path | None, share_real: float, seed: int) -> None:
        self.real, self.rendered, self.share_real, self.seed = real, rendered, share_real, seed

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        cv2.setNumThreads(1)
        real, rendered, drawn = self.real, [], 0
        per_set = {"x50998": 3.0, "lily": 4.0, "etoiles": 3.0, "gumplyz": 2.0, "voc2007": 2.0, "wheelchair": 1.3}
        odds = np.array([per_set[i.source] * (1.0 if len(i.boxes) else 2.5) for i in real])  # a bicycle or pram in a real car teaches most
        odds /= max(odds.sum(), 1e-9)
        while True:
            if self.rendered and drawn % 400 == 0:
                rendered = [i for i in rendered_items(self.rendered) if i.part == "train"]
            drawn += 1
            if real and (rng.random() < self.share_real or not rendered):
                item = real[int(rng.choice(len(real), p=odds))]
            else:
                item = rendered[int(rng.integers(len(rendered)))]
            picture, boxes = augmented(item, WIDTH, HEIGHT, rng)
            known = np.zeros(len(CLASSES), np.float32)
            known[item.known] = 1
            yield torch.from_numpy(picture).permute(2, 0, 1), torch.from_numpy(boxes), torch.from_numpy(known)


def collate(batch):
    return torch.stack([b[0] for b in batch]).float(), [b[1] for b in batch], torch.stack([b[2] for b in batch])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="nanodet-plus-m_dynamic_coco.onnx")
    parser.add_argument("--rendered", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--hold-out", nargs="*", default=[], help="real sets that are left out entirely")
    parser.add_argument("--share-real", type=float, default=0.35)
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=7e-4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="checkpoint whose weights to begin with")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    items = [i for i in (real_items(args.real) if args.real else []) if i.part == "train" and i.source not in args.hold_out]
    model = Detector(args.weights, fresh_head=True).to(memory_format=torch.channels_last)
    model.check_shuffles()
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=args.rate, weight_decay=0.01)
    step, spent = 0, 0.0
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        step, spent = saved["step"], saved["spent"]
    elif args.start:
        state = torch.load(args.start)["average"]
        model.load_state_dict(state)
        average.load_state_dict(state)
    feed = iter(torch.utils.data.DataLoader(Feed(items, args.rendered, args.share_real, args.seed + step), args.batch, num_workers=1, collate_fn=collate, prefetch_factor=4))
    prior = torch.from_numpy(priors(HEIGHT, WIDTH))
    log = (args.out / "log.txt").open("a")
    print(f"{len(items)} real pictures, from step {step}", file=log, flush=True)
    began, running = time.monotonic(), 0.0
    while True:
        done = min(1.0, (spent + time.monotonic() - began) / (args.minutes * 60))
        rate = float(args.rate * min(1.0, (step + 1) / 60) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * done))))
        for group in optimiser.param_groups:
            group["lr"] = rate
        pictures, truths, known = next(feed)
        logits, bins = model(pictures)
        loss = loss_of(logits, bins, prior, truths, known)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        step += 1
        keep = min(0.995, step / (step + 20))
        with torch.no_grad():
            for a, m in zip(average.parameters(), model.parameters()):
                a.lerp_(m, 1 - keep)
        running = 0.95 * running + 0.05 * float(loss.detach()) if step > 1 else float(loss.detach())
        if step % 20 == 0:
            print(f"step {step} loss {running:.3f} rate {rate:.2e} share {done:.3f} pictures {step * args.batch}", file=log, flush=True)
        if step % 50 == 0 or done >= 1:
            torch.save({"model": model.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(), "step": step,
                        "spent": spent + time.monotonic() - began}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint)
            average.save_onnx(args.out / "ebike.onnx", HEIGHT, WIDTH)
        if done >= 1:
            return


if __name__ == "__main__":
    main()
