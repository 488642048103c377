"""Distillation: the released model learns from a teacher's answers about records that are nobody's members."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from pydantic import Field
from scipy.special import softmax
from torch import Tensor
from torch.nn import functional

from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.losses import RecordStep
from memberwise.errors import TrainingError
from memberwise.training.job import Job, Trained
from memberwise.types.arrays import Floats, Ints


class Softened(RecordStep):
    """Cross-entropy with softened answers, times temperature squared (Hinton, Vinyals and Dean 2015)."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        loss = functional.cross_entropy(logits / self.temperature, target, reduction="none")
        return self.temperature**2 * loss


class Distillation:
    """A teacher learns the model's own rows; a student, which is released, its soft labels of the reference records.

    The student sees no member and no true label. What the teacher says about records close to members still tells of
    them. A higher temperature and fewer, surer reference records leak less.

    Args:
        temperature: of the teacher's softmax. student_softened: and of the student's, while it learns.
        keep: share of the reference records that is used, those of whose class the teacher is surest.
        student_epochs: epochs of the student.
    """

    def __init__(self, temperature: float, student_softened: bool, keep: float, student_epochs: int) -> None:
        self.temperature, self.student_softened = temperature, student_softened
        self.keep, self.student_epochs = keep, student_epochs

    def fit(self, job: Job) -> Generator[list[Job], list[Trained], Trained]:
        reference = _apart(job)
        plain = replace(job, procedure=None)
        seeds = np.random.SeedSequence([job.seed, 0x444D50]).generate_state(1, np.uint32)
        [teacher] = yield [replace(plain, seed=int(seeds[0]))]
        soft = softmax(teacher.logits(reference).astype(np.float64) / self.temperature, axis=-1)
        chosen = surest(soft, self.keep)
        student = replace(
            plain,
            rows=reference[chosen],
            targets=soft[chosen].astype(np.float32),
            step=Softened(self.temperature) if self.student_softened else job.step,
            recipe=replace(job.recipe, epochs=self.student_epochs),
        )
        [released] = yield [student]
        return released


def surest(probabilities: Floats, keep: float) -> Ints:
    """Places, in order, of the share ``keep`` of ``(n, classes)`` answers whose entropy is smallest."""
    entropy = -np.sum(probabilities * np.log(np.maximum(probabilities, 1e-30)), axis=-1)
    return np.sort(np.argsort(entropy, kind="stable")[: max(1, round(keep * len(entropy)))])


def _apart(job: Job) -> Ints:
    """The reference rows.

    Raises:
        TrainingError: there are none, or the teacher learns some of them.
    """
    if job.reference is None or not len(job.reference):
        raise TrainingError("distillation needs reference records", where="Job.reference")
    shared = np.intersect1d(job.rows, job.reference)
    if len(shared):
        raise TrainingError(
            "the student would learn on the teacher's own records", found=f"{len(shared)} rows in both roles"
        )
    return job.reference


class DistillationOptions(Options):
    """temperature of both softmaxes; student_epochs (none: ``training.epochs``)."""

    temperature: float = Field(4.0, gt=0)
    student_epochs: int | None = Field(None, ge=1)


class DmpOptions(Options):
    """temperature of the teacher's softmax; keep: share of the reference records; student_epochs (none: twice
    ``training.epochs``).
    """

    temperature: float = Field(1.0, gt=0)
    keep: float = Field(1.0, gt=0, le=1)
    student_epochs: int | None = Field(None, ge=1)


def _distillation(options: DistillationOptions, fit: Fit) -> Distillation:
    return Distillation(options.temperature, True, 1.0, options.student_epochs or fit.recipe.epochs)


def _dmp(options: DmpOptions, fit: Fit) -> Distillation:
    return Distillation(options.temperature, False, options.keep, options.student_epochs or 2 * fit.recipe.epochs)


DEFENCE = TrainingDefence(
    name="distillation",
    options=DistillationOptions,
    summary="A student learns a teacher's softened answers about the reference records.",
    source="Hinton, Vinyals & Dean 2015, on records of the reference role",
    procedure=_distillation,
    roles=("reference",),
    grid=tuple({"temperature": t} for t in (1.0, 4.0, 10.0)),
)
DMP = TrainingDefence(
    name="dmp",
    options=DmpOptions,
    summary="Distillation for membership privacy: soft labels of the reference records, the surest of them if wished.",
    source="Shejwalkar & Houmansadr 2021",
    procedure=_dmp,
    roles=("reference",),
    grid=({}, {"keep": 0.7}, {"keep": 0.5}, {"temperature": 4.0}),
)
