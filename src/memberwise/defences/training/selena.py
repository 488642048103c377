"""SELENA: a model learns from models that did not see the record they answer about."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from pydantic import Field, ValidationInfo, field_validator
from scipy.special import softmax

from memberwise.defences.bounded.worlds import balanced_absences
from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.training.job import Job, Trained
from memberwise.types.arrays import Floats, Floats32, Ints, Mask

# Keeps these draws apart from others which are made from a job's seed.
_PURPOSE = 0x53454C


class Selena:
    """Tang et al. 2022, "Mitigating membership inference attacks by self-distillation through a novel ensemble
    architecture", USENIX Security, section 4: Split-AI, then self-distillation.

    Each row is left out of exactly ``left_out`` of ``models`` sub-models; its soft label is their mean probability, and
    a fresh model learns the soft labels. More ``left_out`` makes the sub-models weaker and the label no less clean.
    Duplicates of a row break the exclusion. The release draws a row's list by itself; here lists go round a fresh
    shuffle of the models for every ``models`` rows, so that sub-models are of one size and train in one stack.
    """

    def __init__(self, models: int, left_out: int, distil_epochs: int) -> None:
        self.models, self.left_out, self.distil_epochs = models, left_out, distil_epochs

    def fit(self, job: Job) -> Generator[list[Job], list[Trained], Trained]:
        absent = exclusions(len(job.rows), self.models, self.left_out, job.seed)
        plain = replace(job, procedure=None)
        seeds = np.random.SeedSequence([job.seed, _PURPOSE, 1]).generate_state(self.models, np.uint32)
        trained = yield [replace(plain, rows=job.rows[~absent[:, k]], seed=int(seeds[k])) for k in range(self.models)]
        soft = held_out_answers(trained, job.rows, absent)
        [student] = yield [replace(plain, targets=soft, recipe=replace(job.recipe, epochs=self.distil_epochs))]
        return student


def exclusions(rows: int, models: int, left_out: int, seed: int) -> Mask:
    """``(rows, models)`` true where a sub-model does not see a row (see ``balanced_absences``)."""
    return balanced_absences(rows, models, left_out, np.random.default_rng([seed, _PURPOSE]))


def held_out_answers(trained: list[Trained], rows: Ints, absent: Mask) -> Floats32:
    """``(n, classes)`` mean probabilities about each row by the models that did not see it, and by no others."""
    total: Floats | None = None
    for k, model in enumerate(trained):
        unseen = np.flatnonzero(absent[:, k])
        answers = softmax(model.logits(rows[unseen]).astype(np.float64), axis=-1)
        total = np.zeros((len(rows), answers.shape[-1])) if total is None else total
        total[unseen] += answers
    assert total is not None
    mean: Floats32 = (total / absent.sum(1, keepdims=True)).astype(np.float32)
    return mean


class SelenaOptions(Options):
    """models is K, left_out is L; distil_epochs of the released model (none: twice ``training.epochs``)."""

    models: int = Field(25, ge=2)
    left_out: int = Field(10, ge=1)
    distil_epochs: int | None = Field(None, ge=1)

    @field_validator("left_out")
    @classmethod
    def _some_see_it(cls, left_out: int, info: ValidationInfo) -> int:
        if "models" in info.data and left_out >= info.data["models"]:
            raise ValueError(f"fewer than the {info.data['models']} models")
        return left_out


def _procedure(options: SelenaOptions, fit: Fit) -> Selena:
    return Selena(options.models, options.left_out, options.distil_epochs or 2 * fit.recipe.epochs)


DEFENCE = TrainingDefence(
    name="selena",
    options=SelenaOptions,
    summary="An ensemble answers about each record by models that did not see it; the released model learns that.",
    source="Tang et al. 2022, section 4",
    procedure=_procedure,
    grid=({"models": 10, "left_out": 4}, {}, {"left_out": 15}),
)
