"""Weighted smoothing: noise on each record's answer in training, most for what is fitted best."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.func import vmap

from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.losses import mean_of_records, soft_labels, true_class
from memberwise.models.network import Network, Tensors
from memberwise.models.randomness import fold, normal
from memberwise.training.step import Batch, Epoch, State, Step
from memberwise.types.parts import Plain

# Keeps the noise apart from what else is drawn from a step's key.
_NOISE = 0x57530000
SMALLEST = 2.3e-16  # of a noisy probability, exp(-36) as released


class WeightedSmoothing(Options):
    """Noise N(0, sigma^2) on every probability of a record's answer, times the record's weight, before the loss.

    The weight is 1 - (mentr - mean) / deviation, mean and deviation of the modified entropy over the training records
    of its class: what is fitted well gets much noise, what stands out little. Weights are renewed after every epoch.

    Attributes:
        sigma: deviation of the noise; more hides more, 0 is plain training. Authors: 1e-5 to 1, mostly 0.001 to 0.2.
            Where it comes near 1 / classes while answers are still even, nothing is learnt.
        warmup: so many epochs at the beginning are without noise.
        gap_scaling: as released, noise is also scaled by the difference of the two largest probabilities; the paper's
            formula does not have it.
        projection: as released, noisy probabilities are made positive by their magnitudes and scaled to sum 1; sigma is
            then to be smaller. Without it they are cut off from below at exp(-36) (the formula leaves open what the
            logarithm of a negative number is), and noise counts through the true class alone.
        position: noise goes on the "prediction", on the "logits", or on the record's "gradient" (its parameters').
        normalisation: mean and deviation by "class", over all records ("global"), or not at all ("none": 1 - mentr).
    """

    sigma: Annotated[float, Field(ge=0)] = 0.03
    warmup: Annotated[int, Field(ge=1)] = 3
    gap_scaling: bool = False
    projection: bool = False
    position: Literal["prediction", "logits", "gradient"] = "prediction"
    normalisation: Literal["class", "global", "none"] = "class"

    @model_validator(mode="after")
    def _gap_of_an_answer(self) -> Self:
        if self.gap_scaling and self.position == "gradient":
            raise ValueError('gap_scaling goes with position = "prediction" or "logits"')
        return self


class WeightedSmoothingStep(Step):
    """Noise on the prediction or the logits; ``State.own["weight"]`` ``(rows,)`` is 0 until the warm-up is over."""

    needs = frozenset({"outputs"})

    def __init__(self, options: WeightedSmoothing, label_smoothing: float = 0.0) -> None:
        super().__init__(label_smoothing)
        self.options = options

    def init(self, network: Network, rows: int, key: Tensor) -> dict[str, Tensor]:
        return {"weight": torch.zeros(rows, device=network.device)}

    def loss(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> tuple[Tensor, State]:
        logits, buffers = network(params, state.buffers, batch.x, key)
        scale = self.options.sigma * state.own["weight"][batch.ids]
        if self.options.gap_scaling:
            first, second = torch.softmax(logits.detach(), -1).topk(2).values.unbind(-1)
            scale = scale * (first - second)
        noise = scale.unsqueeze(-1) * record_noise(fold(key, _NOISE), batch.ids, logits.shape[-1])
        labels = soft_labels(batch.target, logits.shape[-1], self.label_smoothing)
        losses = -(labels * self._log_noisy(logits, noise)).sum(-1)
        return mean_of_records(losses, batch.mask), state._replace(buffers=buffers)

    def _log_noisy(self, logits: Tensor, noise: Tensor) -> Tensor:
        if self.options.position == "logits":
            return torch.log_softmax(logits + noise, -1)
        noisy = torch.softmax(logits, -1) + noise
        if self.options.projection:
            noisy = noisy.abs() / noisy.abs().sum(-1, keepdim=True)
        return noisy.clamp(min=SMALLEST).log()

    def after_epoch(self, network: Network, params: Tensors, state: State, epoch: Epoch) -> tuple[Tensors, State]:
        assert epoch.outputs is not None
        new = weights(epoch.outputs, epoch.target, epoch.mask, self.options.normalisation)
        over = epoch.number + 1 >= self.options.warmup
        return params, state._replace(own={"weight": torch.where(over, new, state.own["weight"])})


class NoisyGradientStep(WeightedSmoothingStep):
    """Weighted noise on each record's gradient: the mean gradient gets the sum of the noises over the records.

    A sum of independent normal numbers is normal, so one draw a parameter does.
    """

    def loss(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> tuple[Tensor, State]:
        return Step.loss(self, network, params, state, batch, key)

    def update(
        self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor
    ) -> tuple[Tensors, Tensor, State]:
        gradient, loss, after = super().update(network, params, state, batch, key)
        weight = state.own["weight"][batch.ids]
        mask = torch.ones_like(weight) if batch.mask is None else batch.mask
        scale = self.options.sigma * (weight * mask).square().sum().sqrt() / mask.sum().clamp(min=1)
        noise = fold(key, _NOISE)
        noisy = {n: g + scale * normal(fold(noise, i), g.shape) for i, (n, g) in enumerate(gradient.items())}
        return noisy, loss, after


def record_noise(key: Tensor, ids: Tensor, classes: int) -> Tensor:
    """``(batch, classes)`` standard normal numbers; a record's own do not depend on what else is in the batch."""
    noise: Tensor = vmap(lambda subkey: normal(subkey, (classes,)))(fold(key, ids))
    return noise


def modified_entropy(logits: Tensor, one_hot: Tensor) -> Tensor:
    """``(rows,)`` -(1 - p_y) log p_y - sum_{j != y} p_j log(1 - p_j), in float64 (Song and Mittal 2021)."""
    log_p = torch.log_softmax(logits.double(), -1)
    rest = -torch.expm1(log_p)
    terms = torch.where(one_hot, rest * log_p, log_p.exp() * rest.clamp(min=1e-30).log())
    return -terms.sum(-1)


def weights(outputs: Tensor, target: Tensor, mask: Tensor | None, normalisation: str) -> Tensor:
    """``(rows,)`` 1 - (mentr - mean) / deviation, mean 1 and deviation 1 in each group; 0 for padding.

    A group whose records are all alike, or a single one, has weight 1.
    """
    one_hot = true_class(target, outputs.shape[-1])
    values = modified_entropy(outputs, one_hot)
    real = torch.ones_like(values) if mask is None else mask.double()
    if normalisation != "none":
        groups = (one_hot.double() if normalisation == "class" else torch.ones_like(values)[:, None]) * real[:, None]
        count = groups.sum(0).clamp(min=1)
        values = values - groups @ (values @ groups / count)
        deviation = (values.square() @ groups / count).sqrt()
        values = values / (groups @ deviation).clamp(min=1e-12)
    return ((1 - values) * real).float()


def step(options: WeightedSmoothing, fit: Fit) -> Step:
    """The training step with noise on gradients or on losses."""
    kind = NoisyGradientStep if options.position == "gradient" else WeightedSmoothingStep
    return kind(options, fit.label_smoothing)


def settings(options: WeightedSmoothing, study: Plain) -> Plain:
    """The authors' clipping of the gradient to norm 10, without which a probability near 0 could throw a model away."""
    return {"training.clip_norm": study["training"]["clip_norm"] or 10.0} if options.sigma else {}


DEFENCE = TrainingDefence(
    name="weighted-smoothing",
    options=WeightedSmoothing,
    summary="Noise on each record's answer in training, most for the records that are fitted best.",
    source="Tan, Xie, Sun and Wang 2023, weighted smoothing, ACSAC",
    step=step,
    settings=settings,
    grid=tuple({"sigma": value} for value in (0.003, 0.01, 0.03, 0.1, 0.3)),
)
