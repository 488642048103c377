"""Condensation: the released model learns a few made-up records whose features have the members' class means."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from math import ceil

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.func import grad_and_value

from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.losses import soft_labels
from memberwise.models.network import Network, Tensors
from memberwise.models.randomness import fold, normal
from memberwise.training.job import Job, Trained
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, State, Step

# Members compared in one iteration.
BATCH = 256
# Decay of Adam's two means, and what its divisor is at least.
DECAY, LEAST = (0.9, 0.999), 1e-8
# Keeps the random networks apart from what else is drawn from a step's key.
_NETWORK = 0x434F4E44


class Matching(Step):
    """Distribution matching (Zhao and Bilen 2023, arXiv:2110.04181, equation 6), without its augmentation.

    ``State.own["records"]`` ``(classes * per_class, ...)``, class by class, begin as noise, never as members. In each
    step they move by Adam down the squared distance between their class means and the batch's in the answers of a
    random network, over that of the batch's class means from their common mean: 1 says nothing, 0 all that the network
    sees. The network is the model's own architecture, its parameters drawn anew in every step with the mean and
    spread that their initialisation gave them; its last layer is a random projection of the features, which keeps
    squared distances in the mean. The model itself is not trained.

    The authors take the features of one convolutional network, batches of 256 a class, and plain descent at rate 1;
    Adam's steps do not depend on the scale of features, which differs between architectures.
    """

    def __init__(self, per_class: int, rate: float, classes: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.per_class, self.rate, self.classes, self.shape = per_class, rate, classes, shape

    def init(self, network: Network, rows: int, key: Tensor) -> dict[str, Tensor]:
        records = normal(key, (self.classes * self.per_class, *self.shape))
        zero = torch.zeros_like(records)
        return {"records": records, "mean": zero, "square": zero, "steps": torch.zeros((), device=key.device)}

    def update(
        self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor
    ) -> tuple[Tensors, Tensor, State]:
        drawn, shares = redrawn(params, key), soft_labels(batch.target, self.classes, 0.0)
        shares = shares if batch.mask is None else shares * batch.mask[:, None]

        def distance(records: Tensor) -> Tensor:
            ours = network(drawn, state.buffers, records, None)[0]
            theirs = network(drawn, state.buffers, batch.x, None)[0]
            return unmatched(ours, theirs, shares)

        before = state.own
        gradient, loss = grad_and_value(distance)(before["records"])
        steps = before["steps"] + 1
        mean = torch.lerp(gradient, before["mean"], DECAY[0])
        square = torch.lerp(gradient.square(), before["square"], DECAY[1])
        spread = (square / (1 - DECAY[1] ** steps)).sqrt() + LEAST
        records = before["records"] - self.rate / (1 - DECAY[0] ** steps) * mean / spread
        after = {"records": records, "mean": mean, "square": square, "steps": steps}
        return {name: torch.zeros_like(value) for name, value in params.items()}, loss, state._replace(own=after)


def redrawn(params: Tensors, key: Tensor) -> Tensors:
    """Parameters drawn anew: normal, with the mean and spread of each given tensor (a constant one stays).

    Args:
        params: by name, each of any shape. key: ``()``.
    """
    subkey = fold(key, _NETWORK)
    return {
        name: value.mean() + value.std(correction=0) * normal(fold(subkey, place), value.shape)
        for place, (name, value) in enumerate(params.items())
    }


def unmatched(ours: Tensor, theirs: Tensor, shares: Tensor) -> Tensor:
    """Squared distance between class means, as a share of that of ``theirs`` from their common mean.

    Args:
        ours: ``(classes * k, d)`` features, class by class. theirs: ``(n, d)``, of classes by ``shares``
            ``(n, classes)``. A class counts by its share of the n records.
    """
    counts = shares.sum(0)
    means = shares.T @ theirs / counts.clamp(min=1e-6)[:, None]
    weights = counts / counts.sum().clamp(min=1e-6)
    distance = weights @ (ours.reshape(len(counts), -1, ours.shape[-1]).mean(1) - means).square().sum(-1)
    return distance / (weights @ (means - weights @ means).square().sum(-1)).clamp(min=1e-12)


class Condensation:
    """Made-up records are matched to the model's rows; a fresh model, which is released, learns them alone.

    It takes as many steps as plain training would, with the same recipe; ``training.augment`` acts on the made-up
    records.
    """

    def __init__(self, options: CondensationOptions, fit: Fit) -> None:
        self.per_class, self.classes = options.per_class, fit.classes
        self.step = Matching(options.per_class, options.rate, fit.classes, fit.shape)
        matching = replace(
            fit.recipe, batch_size=min(BATCH, fit.rows), warmup=0, weight_decay=0.0, augment=(), patience=None
        )
        self.matching = replace(matching, epochs=ceil(options.iterations / matching.steps_per_epoch(fit.rows)))
        self.learning = stretched(fit.recipe, fit.rows, options.per_class * fit.classes)

    def fit(self, job: Job) -> Generator[list[Job], list[Trained], Trained]:
        seeds = np.random.SeedSequence([job.seed, _NETWORK]).generate_state(1, np.uint32)
        plain = replace(job, procedure=None)
        [condensed] = yield [replace(plain, step=self.step, recipe=self.matching, seed=int(seeds[0]), validation=None)]
        classes = np.repeat(np.arange(self.classes), self.per_class)
        [released] = yield [
            replace(
                plain,
                rows=np.arange(len(classes)),
                records=condensed.own["records"],
                targets=classes,
                recipe=self.learning,
            )
        ]
        return released


def stretched(recipe: Recipe, rows: int, condensed: int) -> Recipe:
    """The recipe for so many other rows, with about as many steps, and its schedule over these."""
    factor = recipe.steps_per_epoch(rows) / recipe.steps_per_epoch(condensed)
    return replace(
        recipe,
        epochs=max(1, round(recipe.epochs * factor)),
        warmup=round(recipe.warmup * factor),
        steps=tuple(round(epoch * factor) for epoch in recipe.steps),
    )


class CondensationOptions(Options):
    """per_class: made-up records a class; iterations and rate: steps of matching and how far they go, in units of the
    features (records are expected at a scale near 1).
    """

    per_class: int = Field(10, ge=1)
    iterations: int = Field(1000, ge=1)
    rate: float = Field(0.01, gt=0)


DEFENCE = TrainingDefence(
    name="condensation",
    options=CondensationOptions,
    summary="The model learns a few made-up records with the members' class means. No guarantee, though once claimed.",
    source="Zhao & Bilen 2023, distribution matching; as a defence Dong et al. 2022; against it Carlini et al. 2022",
    procedure=Condensation,
    alters_records=True,
    grid=tuple({"per_class": count} for count in (50, 10, 1)),
)
