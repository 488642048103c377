"""MemGuard's classifier of members, and the search for answers about which it is unsure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

# Weights ``(in, out)`` and biases ``(1, out)`` of each layer.
Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
Values = NDArray[np.float64]

HIDDEN = (256, 128, 64)
RATE, BATCH = 1e-3, 64
STEPS, STEP = 300, 0.1
LABEL, DISTANCE, LARGEST_DISTANCE, DECIDED = 10.0, 0.1, 1e5, 1e-5
CHUNK = 8192


def train_classifiers(
    members: Sequence[Values], others: Sequence[Values], epochs: int, rngs: Sequence[np.random.Generator]
) -> list[Layers]:
    """One classifier a model, C-256-128-64-1, told sorted ``(k, C)`` answers about its members from others.

    Stochastic gradient descent at 0.001, batches of 64, cross-entropy, as in the authors' code. As many members as
    others are taken, and as many of every model, so that all are trained at once.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from memberwise.training.plan import threads_of

    count = min(len(part) for part in [*members, *others])
    pairs = zip(members, others, rngs, strict=True)
    rows = [np.concatenate([r.permutation(inside)[:count], r.permutation(out)[:count]]) for inside, out, r in pairs]
    x = torch.from_numpy(np.stack(rows).astype(np.float32))
    y = (torch.arange(2 * count) < count).float()
    layers = [
        (torch.from_numpy(w).requires_grad_(), torch.from_numpy(b).requires_grad_())
        for w, b in _initial(x.shape[-1], rngs)
    ]
    weights = [tensor for layer in layers for tensor in layer]
    models = torch.arange(len(x))[:, None]
    with threads_of(1):  # a second thread would mostly wait: on busy cores it takes up to eighty times as long
        for _ in range(epochs):
            order = torch.from_numpy(np.stack([rng.permutation(2 * count) for rng in rngs]))
            for batch in torch.split(order, BATCH, dim=1):
                told = log_odds(layers, x[models, batch])
                loss = binary_cross_entropy_with_logits(told, y[batch], reduction="sum") / batch.shape[1]
                gradients = torch.autograd.grad(loss, weights)
                with torch.no_grad():
                    torch._foreach_add_(weights, gradients, alpha=-RATE)
    return [[(w[i].detach().numpy(), b[i].detach().numpy()) for w, b in layers] for i in range(len(x))]


def _initial(classes: int, rngs: Sequence[np.random.Generator]) -> Layers:
    """First weights of all models (Glorot & Bengio 2010, uniform); biases are 0."""
    layers = []
    for size, out in pairwise((classes, *HIDDEN, 1)):
        drawn = np.stack([rng.uniform(-1, 1, (size, out)) for rng in rngs]) * np.sqrt(6 / (size + out))
        layers.append((drawn.astype(np.float32), np.zeros((len(rngs), 1, out), np.float32)))
    return layers


def log_odds(layers: Sequence[tuple[Any, Any]], answers: Any) -> Any:
    """``(..., n)`` log-odds of "member" from ``(..., n, C)`` probabilities sorted upwards; of tensors or of arrays."""
    x = answers
    for number, (weight, bias) in enumerate(layers):
        x = (x if number == 0 else x.clip(min=0)) @ weight + bias
    return x[..., 0]


def unsure_logits(classifier: Layers, logits: Values) -> Values:
    """Phase I: ``(n, C)`` logits about which the classifier just changes its mind; as given where none were found.

    Args:
        logits: sorted upwards, the label last; it stays the only largest.

    From these logits, steps of length 0.1 down the gradient of |log-odds| + 10 max(0, largest other logit - label's) +
    c |p - p_0|_1, at most 300, until the classifier crosses one half with the label kept; then again from the start
    with ten times the c, from 0.1 up to 1e5. The last that succeeded is taken.
    """
    import torch

    from memberwise.training.plan import threads_of

    layers = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in classifier]
    with threads_of(1):
        parts = [_search(layers, part) for part in torch.split(torch.from_numpy(logits.astype(np.float32)), CHUNK)]
    found = torch.cat([hit for _, hit in parts]).numpy()
    return np.where(found[:, None], torch.cat([z for z, _ in parts]).double().numpy(), logits)


def _search(layers: Sequence[tuple[Tensor, Tensor]], start: Tensor) -> tuple[Tensor, Tensor]:
    """Phase I of a chunk; rows are at different steps and weights of the distance, and leave when they are done."""
    import torch

    first = start.softmax(-1)
    side: Tensor = log_odds(layers, first)
    best, found = start.clone(), torch.zeros(len(start), dtype=torch.bool)
    rows = torch.nonzero((side.sigmoid() - 0.5).abs() > DECIDED)[:, 0]
    z, weight, age = start[rows], torch.full((len(rows),), DISTANCE), torch.zeros(len(rows), dtype=torch.int64)
    while len(rows):
        z.requires_grad_()
        p = z.softmax(-1)
        told = log_odds(layers, p)
        behind = z[:, :-1].amax(-1) - z[:, -1]
        loss = told.abs() + LABEL * behind.relu() + weight * (p - first[rows]).abs().sum(-1)
        (gradient,) = torch.autograd.grad(loss.sum(), z)
        with torch.no_grad():
            hit = (told * side[rows] <= 0) & (behind < 0)
            best[rows[hit]], found[rows[hit]] = z[hit], True
            stepped = z - STEP * gradient / gradient.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            z = torch.where(hit[:, None], start[rows], stepped)
            age, weight = torch.where(hit, 0, age + 1), torch.where(hit, 10 * weight, weight)
            going = (age <= STEPS) & (weight < 2 * LARGEST_DISTANCE)
            if not going.all():
                rows, z, age, weight = rows[going], z[going], age[going], weight[going]
    return best, found
