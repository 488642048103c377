"""DP-SGD: gradients clipped record by record, and noise; the one defence with a guarantee."""

from __future__ import annotations

from math import isfinite
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from torch import nn

from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.dp_accounting import (
    ACCOUNTANT,
    Accountant,
    Sampling,
    epsilon_of,
    noise_for,
    numerical_epsilon_of,
)
from memberwise.defences.training.dp_sgd_scaled import ScaledDpSgd
from memberwise.defences.training.dp_sgd_step import DpSgd, refuse_shared_statistics
from memberwise.errors import Note, StudyError


class DpSgdOptions(Options):
    """epsilon (the noise is found for it; 8 where neither is given) or noise_multiplier; clip is C.

    delta: chance with which the guarantee may fail; keep it below 1 over the number of records.
    accountant: by which the noise is found for an epsilon; "prv" (numerical composition) needs 5 to 10 % less.
    multiplicity, augment: so many copies of a record, augmented by "flip", "crop" or "cutout", whose gradients are
    averaged before clipping; average: decay of the moving average over steps that is released (0: none).
    """

    epsilon: float | None = Field(None, gt=0)
    noise_multiplier: float | None = Field(None, ge=0)
    clip: float = Field(1.0, gt=0)
    delta: float = Field(1e-5, gt=0, lt=1)
    accountant: Accountant = "rdp"
    multiplicity: int = Field(1, ge=1)
    augment: tuple[Literal["flip", "crop", "cutout"], ...] = ()
    average: float = Field(0.0, ge=0, lt=1)

    @field_validator("noise_multiplier")
    @classmethod
    def _one_of_two(cls, noise: float | None, info: ValidationInfo) -> float | None:
        if noise is not None and info.data.get("epsilon") is not None:
            raise ValueError("either epsilon or noise_multiplier")
        return noise

    @model_validator(mode="after")
    def _copies_differ(self) -> Self:
        if self.multiplicity > 1 and not self.augment:
            raise ValueError('multiplicity above 1 goes with augment, such as ["flip", "crop"]')
        return self


def sampling(fit: Fit) -> Sampling:
    """How the engine draws batches: see ``Feed.rate`` and ``Recipe.steps_per_epoch``."""
    rate = min(1.0, fit.recipe.batch_size / fit.rows)
    return Sampling(rate, fit.recipe.epochs * fit.recipe.steps_per_epoch(fit.rows))


def noise_multiplier(options: DpSgdOptions, fit: Fit) -> float:
    """As given, or found for the epsilon."""
    if options.noise_multiplier is not None:
        return options.noise_multiplier
    return noise_for(options.epsilon or 8.0, sampling(fit), options.delta, options.accountant)


def _step(options: DpSgdOptions, fit: Fit) -> DpSgd:
    expected = float(min(fit.recipe.batch_size, fit.rows))
    how = (noise_multiplier(options, fit), options.clip, expected, fit.label_smoothing)
    if not options.augment and not options.average:
        return DpSgd(*how)
    return ScaledDpSgd(
        *how,
        multiplicity=options.multiplicity,
        augment=options.augment,
        decay=options.average,
        epochs=fit.recipe.epochs,
    )


def _check(options: DpSgdOptions, fit: Fit, module: nn.Module) -> list[Note]:
    refuse_shared_statistics(module)
    if "mixup" in fit.recipe.augment:
        raise StudyError(
            "dp-sgd with mixup: a record's gradient would depend on its partner",
            expected="flip, crop or cutout, which take one record at a time",
            where="training.augment",
        )
    if options.average and fit.recipe.patience is not None:
        raise StudyError(
            "dp-sgd with average releases a mean over steps, training.patience one epoch chosen on validation records",
            expected="one of the two",
            where="training.defence",
            fix="training.defence.average=0, or leave training.patience out",
        )
    noise, how = noise_multiplier(options, fit), sampling(fit)
    if noise == 0:
        return [Note("dp-epsilon", "record gradients are clipped, but without noise nothing is guaranteed")]
    epsilon = epsilon_of(noise, how, options.delta)
    message = (
        f"each model is ({epsilon:.2f}, {options.delta:g})-differentially private as to one training record more or "
        f"less: noise multiplier {noise:.4g}, clip {options.clip:g}, {how.steps:,} steps of Poisson sampling at rate "
        f"{how.rate:.4g}, {ACCOUNTANT} ({_numerical(noise, how, options.delta)}). Parameters tried out, and statistics "
        "taken from the data beforehand, are not counted; the noise is not cryptographic"
    )
    notes = [Note("dp-epsilon", message)]
    if options.delta >= 1 / fit.rows:
        notes.append(
            Note("dp-delta", f"delta {options.delta:g} is not below 1/{fit.rows}: it permits publishing a record")
        )
    return notes


def _bound(options: DpSgdOptions, fit: Fit) -> tuple[float, float] | None:
    """Epsilon and delta; None without noise."""
    noise = noise_multiplier(options, fit)
    return (epsilon_of(noise, sampling(fit), options.delta), options.delta) if noise else None


def _numerical(noise: float, how: Sampling, delta: float) -> str:
    epsilon = numerical_epsilon_of(noise, how, delta)
    return f"numerically composed, PRV: {epsilon:.2f}" if isfinite(epsilon) else "PRV: not computed above 50"


def _recipe(learning_rate: float) -> dict[str, object]:
    return {"optimizer": "sgd", "momentum": 0.9, "learning_rate": learning_rate}


DEFENCE = TrainingDefence(
    name="dp-sgd",
    options=DpSgdOptions,
    summary="Each record's gradient is clipped and noise is added: what one record can change is bounded.",
    source="Abadi et al. 2016, algorithm 1",
    step=_step,
    check=_check,
    guarantee="(epsilon, delta)-DP",
    bound=_bound,
    extra=("opacus", "dp"),
    # The first has no epsilon worth naming and is the heuristic that others must beat (Aerni, Zhang and Tramer 2024).
    # Clipped gradients want larger steps than plain training, noisy ones smaller steps again (docs/defences.md).
    grid=(
        {"noise_multiplier": 0.1, "training": _recipe(0.3)},
        {"epsilon": 100.0, "training": _recipe(0.1)},
        {"epsilon": 30.0, "training": _recipe(0.1)},
        {"epsilon": 10.0, "training": _recipe(0.05)},
        {"epsilon": 3.0, "training": _recipe(0.05)},
    ),
)
