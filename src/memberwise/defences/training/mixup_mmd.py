"""Mixup+MMD: answers about members are drawn to the distribution of answers about reference records."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from memberwise.defences.training import mixup
from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.models.network import Network, Tensors
from memberwise.training.step import Batch, Epoch, State, Step


class MixupMmd(Step):
    """Li, Li and Ribeiro 2021, "Membership inference attacks and defenses in classification models", CODASPY.

    A squared maximum mean discrepancy between the softmax answers about members and about reference records of the
    same classes is added to the loss; only the members' side has a gradient. More ``weight`` protects more. It counts
    in epochs after one in which accuracy on members was above that on reference records by ``gap`` or more, and not
    in the last. Answers are taken in evaluation mode.

    The released code makes a separate pass after each epoch, draws held-out records of the same class counts, and
    has validation records for them. Here it is part of each step, with the reference role; reference records are
    weighted so that classes count as among the members of the batch, and classes only one side has do not count.
    """

    needs = frozenset({"reference", "members"})

    def __init__(self, options: MixupMmdOptions, fit: Fit) -> None:
        super().__init__(fit.label_smoothing)
        self.weight, self.sigma, self.gap = options.weight, options.sigma, options.gap
        self.classes, self.epochs = fit.classes, fit.recipe.epochs

    def init(self, network: Network, rows: int, key: Tensor) -> dict[str, Tensor]:
        zero = torch.zeros((), device=key.device)
        return {"right": torch.zeros(2, device=key.device), "steps": zero, "counts": zero}

    def loss(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> tuple[Tensor, State]:
        assert batch.members is not None
        assert batch.reference is not None
        loss, after = super().loss(network, params, state, batch, key)
        sides = [(network(params, state.buffers, x[0], None)[0], y[0]) for x, y in (batch.members, batch.reference)]
        (inside, labels), (outside, other_labels) = ((logits.softmax(-1), y) for logits, y in sides)
        distance = mmd(inside, outside.detach(), *matched(labels, other_labels, self.classes), self.sigma)
        on = state.own["counts"] * (batch.epoch < self.epochs - 1)
        right = torch.stack([(logits.argmax(-1) == y).float().mean() for logits, y in sides])
        tensors = state.own | {"right": state.own["right"] + right.detach(), "steps": state.own["steps"] + 1}
        return loss + self.weight * on * distance, after._replace(own=tensors)

    def after_epoch(self, network: Network, params: Tensors, state: State, epoch: Epoch) -> tuple[Tensors, State]:
        right = state.own["right"]
        tensors = {name: torch.zeros_like(value) for name, value in state.own.items()}
        tensors["counts"] = (right[0] - right[1] >= self.gap * state.own["steps"]).float()
        return params, state._replace(own=tensors)


def matched(labels: Tensor, other_labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Weights of ``(n,)`` members and ``(r,)`` others, each summing to 1, with which classes count alike on both sides.

    Both are 0 where the batches have no class in common.
    """
    numbers = torch.arange(classes, device=labels.device)
    ours, theirs = ((side[:, None] == numbers).float() for side in (labels, other_labels))
    counts, available = ours.sum(0), theirs.sum(0)
    shared = (available > 0).float()
    total = (counts * shared).sum().clamp(min=1)
    return ours @ shared / total, theirs @ (counts / available.clamp(min=1)) / total


def mmd(x: Tensor, y: Tensor, a: Tensor, b: Tensor, sigma: float) -> Tensor:
    """Squared maximum mean discrepancy of ``(n, d)`` with weights ``(n,)`` and ``(r, d)`` with ``(r,)``, biased.

    Gretton et al. 2012, with the kernel exp(-|x - y|^2 / (2 sigma^2)).
    """

    def mean(u: Tensor, v: Tensor, p: Tensor, q: Tensor) -> Tensor:
        square = (u[:, None, :] - v[None, :, :]).square().sum(-1)
        return p @ torch.exp(-square / (2 * sigma**2)) @ q

    return mean(x, x, a, a) - 2 * mean(x, y, a, b) + mean(y, y, b, b)


class MixupMmdOptions(Options):
    """weight of the discrepancy; sigma of its kernel; gap: accuracy above which it counts; mixup of members as well."""

    weight: float = Field(3.0, ge=0)
    sigma: float = Field(1.0, gt=0)
    gap: float = Field(0.03, ge=0, le=1)
    mixup: bool = True


def _settings(options: MixupMmdOptions, values: dict[str, object]) -> dict[str, object]:
    return mixup.settings(mixup.Mixup(), values) if options.mixup else {}


DEFENCE = TrainingDefence(
    name="mixup-mmd",
    options=MixupMmdOptions,
    summary="Mixup, and members' answers are drawn to others'.",
    source="Li, Li & Ribeiro 2021",
    step=MixupMmd,
    settings=_settings,
    roles=("reference",),
    grid=tuple({"weight": weight} for weight in (1.0, 3.0, 10.0)),
)
