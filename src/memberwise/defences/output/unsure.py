"""MemGuard's classifier of members, and the search for answers about which it is unsure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from memberwise.types.arrays import Floats, Floats32, Ints

if TYPE_CHECKING:
    from torch import Tensor

# Weights ``(in, out)`` and biases ``(1, out)`` of each layer.
DenseWeights = list[tuple[Floats32, Floats32]]

Numbers = TypeVar("Numbers", Floats32, "Tensor")

HIDDEN = (256, 128, 64)
RATE, BATCH = 1e-3, 64
STEPS, STEP = 300, 0.1
LABEL, DISTANCE, LARGEST_DISTANCE, DECIDED = 10.0, 0.1, 1e5, 1e-5
CHUNK = 8192


def train_classifiers(
    members: Sequence[Floats], nonmembers: Sequence[Floats], epochs: int, rngs: Sequence[np.random.Generator]
) -> list[DenseWeights]:
    """One classifier a model, C-256-128-64-1, told sorted ``(k, C)`` answers about its members from others.

    Stochastic gradient descent at 0.001, batches of 64, cross-entropy, as in the authors' code. As many members as
    non-members are taken. All are trained at once; one with fewer answers than another sits out the last steps of an
    epoch.
    """
    import torch

    from memberwise.models.threads import threads_of

    told_apart, counts = _told_apart(members, nonmembers, rngs)
    x = torch.from_numpy(told_apart)
    inside, real = (torch.arange(x.shape[1]) < torch.from_numpy(k * counts)[:, None] for k in (1, 2))
    layers = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in _initial(x.shape[-1], rngs)]
    models, room = torch.arange(len(x))[:, None], _Room(layers, len(x), BATCH)
    with threads_of(1):  # a second thread would mostly wait: on busy cores it takes up to eighty times as long
        for _ in range(epochs):
            order = torch.from_numpy(_orders(counts, rngs))
            for batch in torch.split(order, BATCH, dim=1):
                odds, kept = room.forward(x[models, batch])
                share = real[models, batch] / real[models, batch].sum(1, keepdim=True).clamp(min=1)
                gradient = (odds.sigmoid() - inside[models, batch][..., None].float()) * share[..., None]
                for layer in reversed(range(len(layers))):
                    (weight, bias), inputs = layers[layer], kept[layer]
                    below = room.below(layer, gradient) if layer else gradient
                    weight.baddbmm_(inputs.mT, gradient, alpha=-RATE)
                    bias.sub_(gradient.sum(1, keepdim=True), alpha=RATE)
                    gradient = below.mul_(inputs.sign_()) if layer else gradient
    return [[(w[i].numpy(), b[i].numpy()) for w, b in layers] for i in range(len(x))]


def _told_apart(
    members: Sequence[Floats], nonmembers: Sequence[Floats], rngs: Sequence[np.random.Generator]
) -> tuple[Floats32, Ints]:
    """``(models, n, C)`` answers, members' first, padding last; and each model's count of members."""
    counts = np.array([min(map(len, pair)) for pair in zip(members, nonmembers, strict=True)])
    groups = zip(members, nonmembers, counts, rngs, strict=True)
    rows = [np.concatenate([r.permutation(inside)[:k], r.permutation(out)[:k]]) for inside, out, k, r in groups]
    padded = [np.resize(part, (2 * counts.max(), part.shape[1])) for part in rows]
    return np.stack(padded).astype(np.float32), counts


def _orders(counts: Ints, rngs: Sequence[np.random.Generator]) -> Ints:
    """``(models, 2 * largest count)`` each model's answers in a new order, its padding behind them."""
    places = np.tile(np.arange(2 * counts.max()), (len(rngs), 1))
    for row, count, rng in zip(places, counts, rngs, strict=True):
        row[: 2 * count] = rng.permutation(2 * count)
    return places


def _initial(classes: int, rngs: Sequence[np.random.Generator]) -> DenseWeights:
    """First weights of all models (Glorot & Bengio 2010, uniform); biases are 0."""
    layers = []
    for size, out in pairwise((classes, *HIDDEN, 1)):
        drawn = np.stack([rng.uniform(-1, 1, (size, out)) for rng in rngs]) * np.sqrt(6 / (size + out))
        layers.append((drawn.astype(np.float32), np.zeros((len(rngs), 1, out), np.float32)))
    return layers


def log_odds(layers: Sequence[tuple[Numbers, Numbers]], answers: Numbers) -> Numbers:
    """``(..., n)`` log-odds of "member" from ``(..., n, C)`` probabilities sorted upwards; of tensors or of arrays."""
    x = answers
    for number, (weight, bias) in enumerate(layers):
        x = (x if number == 0 else x.clip(min=0)) @ weight + bias
    return x[..., 0]


class _Room:
    """Memory for the values of ``n`` answers in every layer and for their gradients.

    New memory at every step, of a size which is given back to the system each time, took most of the time.
    """

    def __init__(self, layers: Sequence[tuple[Tensor, Tensor]], *n: int) -> None:
        import torch

        self.layers = layers
        self.outputs = [torch.empty(*n, weight.shape[-1]) for weight, _ in layers]
        self.gradients = [torch.empty(*n, weight.shape[-2]) for weight, _ in layers]

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """``(..., n, 1)`` log-odds, as ``log_odds``, and the inputs of every layer."""
        import torch

        kept: list[Tensor] = []
        for (weight, bias), room in zip(self.layers, self.outputs, strict=True):
            kept.append(x.relu_() if kept else x)
            x = torch.matmul(x, weight, out=room[..., : x.shape[-2], :]).add_(bias)
        return x, kept

    def below(self, layer: int, gradient: Tensor) -> Tensor:
        """The gradient by a layer's inputs, from that by its outputs."""
        import torch

        room = self.gradients[layer][..., : gradient.shape[-2], :]
        return torch.matmul(gradient, self.layers[layer][0].mT, out=room)


def unsure_logits(classifier: DenseWeights, logits: Floats) -> Floats:
    """Phase I: ``(n, C)`` logits about which the classifier just changes its mind; as given where none were found.

    Args:
        logits: sorted upwards, the label last; it stays the only largest.

    From these logits, steps of length 0.1 down the gradient of |log-odds| + 10 max(0, largest other logit - label's) +
    c |p - p_0|_1, at most 300, until the classifier crosses one half with the label kept; then again from the start
    with ten times the c, from 0.1 up to 1e5. The last that succeeded is taken.
    """
    import torch

    from memberwise.models.threads import threads_of

    layers = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in classifier]
    with threads_of(1):
        parts = [_search(layers, part) for part in torch.split(torch.from_numpy(logits.astype(np.float32)), CHUNK)]
    hits = torch.cat([hit for _, hit in parts]).numpy()
    return np.where(hits[:, None], torch.cat([z for z, _ in parts]).double().numpy(), logits)


def _search(layers: Sequence[tuple[Tensor, Tensor]], start: Tensor) -> tuple[Tensor, Tensor]:
    """Phase I of a chunk; rows are at different steps and weights of the distance, and leave when they are done."""
    import torch

    first = start.softmax(-1)
    side: Tensor = log_odds(layers, first)
    best, hits = start.clone(), torch.zeros(len(start), dtype=torch.bool)
    rows = torch.nonzero((side.sigmoid() - 0.5).abs() > DECIDED)[:, 0]
    z, weight, age = start[rows], torch.full((len(rows),), DISTANCE), torch.zeros(len(rows), dtype=torch.int64)
    room = _Room(layers, len(rows))
    while len(rows):
        p = z.softmax(-1)
        odds, kept = room.forward(p)
        largest, other = z[:, :-1].max(-1)
        behind = largest - z[:, -1]
        hit = (odds[:, 0] * side[rows] <= 0) & (behind < 0)
        best[rows[hit]], hits[rows[hit]] = z[hit], True
        gradient = odds.sign()
        for layer in reversed(range(len(layers))):
            gradient = room.below(layer, gradient)
            gradient = gradient.mul_(kept[layer].sign_()) if layer else gradient
        gradient += weight[:, None] * (p - first[rows]).sign()
        gradient = p * (gradient - (gradient * p).sum(-1, keepdim=True))  # through the softmax
        push = LABEL * (behind > 0).float()
        gradient[:, -1] -= push
        gradient.scatter_add_(1, other[:, None], push[:, None])
        stepped = z - STEP * gradient / gradient.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        z = torch.where(hit[:, None], start[rows], stepped)
        age, weight = torch.where(hit, 0, age + 1), torch.where(hit, 10 * weight, weight)
        going = (age <= STEPS) & (weight < 2 * LARGEST_DISTANCE)
        if not going.all():
            rows, z, age, weight = rows[going], z[going], age[going], weight[going]
    return best, hits
