"""MIST: sub-models on parts of the rows are kept from knowing their own part better than the others do."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field
from scipy.special import softmax
from torch import Tensor, nn

from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.losses import RecordStep
from memberwise.defences.training.running_statistics import momenta, settled
from memberwise.errors import Note, StudyError
from memberwise.training.job import Job, Trained
from memberwise.training.procedure import TrainedModel
from memberwise.training.recipe import Recipe
from memberwise.types.arrays import Floats32, Ints

Params = dict[str, Floats32]
# Keeps these draws apart from others which are made from a job's seed.
_PURPOSE = 0x4D495354


class CrossDifference(RecordStep):
    """weight * |p_y - what the other sub-models' p_y is in the mean|; that number stands in place y of the target."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        theirs, label = target.max(-1)
        ours = logits.softmax(-1).gather(-1, label[:, None]).squeeze(-1)
        return self.weight * (ours - theirs).abs()


class Mist:
    """Li, Li and Ribeiro 2024, "MIST: defending against membership inference attacks through membership-invariant
    subspace training", USENIX Security.

    In each round the rows are dealt anew into ``parts``; from the same parameters one sub-model a part first learns
    its own part, then is drawn to what the others, which did not see it this round, say about it; the mean of their
    parameters begins the next round. More ``weight`` and more ``parts`` protect more. Each stage begins with a fresh
    optimiser at the schedule's rate. BatchNorm's statistics are not handed on: wherever answers are read, and for the
    released model, they are taken anew by a pass over the rows at rate 0. Mixup has no part in the second phase, whose
    target is a number about one record.
    """

    def __init__(self, parts: int, weight: float, local_epochs: int, rounds: int) -> None:
        self.parts, self.weight, self.local_epochs, self.rounds = parts, weight, local_epochs, rounds

    def fit(self, job: Job) -> Generator[list[Job], list[Trained], Trained]:
        refuse_empty_parts(self.parts, len(job.rows))
        rng = np.random.default_rng([job.seed, _PURPOSE])
        mean, plain = job.init, replace(job, procedure=None)
        for number in range(self.rounds):
            local = replace(plain, recipe=self._recipe(job, number))
            rows = [np.sort(part) for part in np.array_split(rng.permutation(job.rows), self.parts)]
            first, second = rng.integers(2**32, size=(2, self.parts)).tolist()
            if mean is None:  # one beginning for all: the mean of unlike models would be a model of nothing
                first = [job.seed] * self.parts
            jobs = [replace(local, rows=part, seed=seed, init=mean) for part, seed in zip(rows, first, strict=True)]
            learned = yield jobs
            teachers = learned
            if any(map(keeps_statistics, learned)):
                teachers = yield [settled(part, model.params) for part, model in zip(jobs, learned, strict=True)]
            drawn = yield [
                replace(
                    self._unmixed(local),
                    rows=part,
                    seed=seed,
                    init=learned[k].params,
                    targets=mean_of_other_models(teachers, k, part),
                    step=CrossDifference(self.weight),
                )
                for k, (part, seed) in enumerate(zip(rows, second, strict=True))
            ]
            mean = averaged([model.params for model in drawn])
        assert mean is not None
        [released] = yield [settled(plain, mean)]
        return released

    def _unmixed(self, job: Job) -> Job:
        """Without mixup, which would average targets that are no labels."""
        return replace(job, recipe=replace(job.recipe, augment=tuple(a for a in job.recipe.augment if a != "mixup")))

    def _recipe(self, job: Job, number: int) -> Recipe:
        """The recipe of one stage of a round: the rate at which the whole schedule is by then, and stays."""
        rate = replace(job.recipe, epochs=self.rounds).rate(number, 1)
        return replace(
            job.recipe, epochs=self.local_epochs, learning_rate=rate, schedule="constant", steps=(), warmup=0
        )


def refuse_empty_parts(parts: int, rows: int) -> None:
    """Raises StudyError where there are more parts than rows."""
    if parts > rows:
        raise StudyError(
            "mist deals the rows into more parts than there are rows",
            expected=f"training.defence.parts of at most {rows}",
            found=str(parts),
            where="training.defence",
            fix="fewer parts (5 is usual)",
        )


def keeps_statistics(model: Trained) -> bool:
    """The model's layers keep statistics over batches, as BatchNorm does."""
    return isinstance(model, TrainedModel) and bool(momenta(model.alone.network.module))


def mean_of_other_models(models: Sequence[Trained], k: int, rows: Ints) -> Floats32:
    """``(n, classes)`` -1, and at each true class the mean of its probability by all models but the ``k``-th."""
    other_answers = [softmax(model.logits(rows).astype(np.float64), -1) for j, model in enumerate(models) if j != k]
    mean, labels = np.mean(other_answers, axis=0), models[k].labels(rows)
    target = np.full(mean.shape, -1.0, np.float32)
    target[np.arange(len(rows)), labels] = mean[np.arange(len(rows)), labels]
    return target


def averaged(models: Sequence[Params]) -> Params:
    """The mean of models' parameters."""
    # Summed in float64, in which the mean of equal (frozen) numbers is that number.
    means = {name: np.mean([model[name] for model in models], axis=0, dtype=np.float64) for name in models[0]}
    return {name: np.asarray(value, np.float32) for name, value in means.items()}


class MistOptions(Options):
    """parts is m, weight is lambda; local_epochs of each phase; rounds (none: ``training.epochs``)."""

    parts: int = Field(5, ge=2)
    weight: float = Field(4.0, ge=0)
    local_epochs: int = Field(5, ge=1)
    rounds: int | None = Field(None, ge=1)


def _procedure(options: MistOptions, fit: Fit) -> Mist:
    return Mist(options.parts, options.weight, options.local_epochs, options.rounds or fit.recipe.epochs)


def _check(options: MistOptions, fit: Fit, module: nn.Module) -> list[Note]:
    refuse_empty_parts(options.parts, fit.rows)
    return []


DEFENCE = TrainingDefence(
    name="mist",
    options=MistOptions,
    summary="Sub-models on parts of the rows may not know their part better than the others do; their mean is kept.",
    source="Li, Li & Ribeiro 2024",
    procedure=_procedure,
    check=_check,
    grid=({"weight": 1.0}, {}, {"weight": 16.0}),
)
