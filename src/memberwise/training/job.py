"""The unit of work: which rows, which targets, which step and recipe, from which seed. Plain arrays in and out."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np

from memberwise.models.network import Tensors
from memberwise.training.recipe import Recipe
from memberwise.training.step import State, Step, describe
from memberwise.types.arrays import Floats, Floats32, Ints


class Trained(Protocol):
    """One trained model, as a procedure meets it.

    Attributes:
        params: its parameters by name, frozen ones among them, as ``Job.init`` takes them.
        own: the step's own tensors at the end of its training, by name.
    """

    @property
    def params(self) -> dict[str, Floats32]: ...

    @property
    def own(self) -> dict[str, Floats32]: ...

    def labels(self, rows: Ints) -> Ints:
        """``(n,)`` true class numbers of rows of the data."""
        ...

    def logits(self, rows: Ints) -> Floats32:
        """``(n, classes)`` float32 answers in evaluation mode about rows of the data."""
        ...


@dataclass(frozen=True)
class Ensemble:
    """Models that are released together, as one that answers from all of them; ``worlds`` in their order."""

    worlds: tuple[Trained, ...]


class Procedure(Protocol):
    """A defence that trains several models to release one (distillation, ensembles).

    It yields lists of jobs and is sent the models they made; it returns what is released: one of them, or an ensemble.
    The engine runs the procedures of all models of a block side by side, so that one stage of all of them is trained as
    one stack. The jobs of a stage share step, recipe and validation rows; they carry no procedure themselves.
    """

    def fit(self, job: Job) -> Game: ...


# A procedure that runs.
Game: TypeAlias = "Generator[list[Job], list[Trained], Trained | Ensemble]"


@dataclass(frozen=True)
class Job:
    """One model to train.

    Attributes:
        rows: ``(n,)`` row numbers of the data.
        step: the training step (plain, or a defence's).
        recipe: epochs, batches, optimiser.
        seed: the model's own seed: initialisation, order of batches, dropout.
        targets: ``(n,)`` class numbers or ``(n, classes)`` soft labels instead of the data's labels, or None.
        init: parameters to begin from instead of a fresh initialisation, or None; frozen ones where it has them.
        validation: ``(v,)`` row numbers of the data on which training is stopped early, where the recipe has patience.
        reference: ``(r,)`` row numbers of the defender's extra data, the same for the target and shadow models.
        procedure: how several models are trained to release one, instead of one training with ``step``; or None.
        records: ``(k, ...)`` float32 records which ``rows`` number instead of the data's, with ``targets``; or None.
        traced: keep a loss trace of the rows (``training.trace``); it changes nothing about the model.
        early: keep early checkpoints (``training.early``), to be asked, too; they change nothing about the model.
    """

    rows: Ints
    step: Step
    recipe: Recipe
    seed: int
    targets: Floats32 | Ints | None = None
    init: dict[str, Floats32] | None = None
    validation: Ints | None = None
    reference: Ints | None = None
    procedure: Procedure | None = None
    records: Floats32 | None = None
    traced: bool = False
    early: bool = False


@dataclass(frozen=True)
class TrainedStack:
    """Models trained together: every tensor has the model as its first dimension.

    Attributes:
        params, buffers: by name, ``(m, ...)``.
        losses: ``(m, epochs)`` mean training loss of each epoch; NaN in epochs after a model's early stop.
        own: the step's own tensors at the end, ``(m, ...)``.
        traces: ``(m, q, rows)`` quantiles over epochs of each record's loss, where jobs are traced; or None.
        early: parameters and state after a part of the training, where jobs ask for it; the earliest first.
    """

    params: Tensors
    buffers: Tensors
    losses: Floats
    own: Tensors = field(default_factory=dict)
    traces: Floats32 | None = None
    early: tuple[tuple[Tensors, State], ...] = ()

    def __len__(self) -> int:
        return len(self.losses)


def describe_job(job: Job) -> dict[str, object]:
    """What a job is, as plain values with its arrays hashed: part of a block's key."""
    arrays = {"rows": job.rows, "targets": job.targets, "validation": job.validation, "reference": job.reference}
    arrays |= {f"init.{name}": value for name, value in (job.init or {}).items()}
    hashed = {
        name: hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        for name, value in arrays.items()
        if value is not None
    }
    procedure = None if job.procedure is None else describe(job.procedure)
    return {**hashed, "seed": job.seed, "recipe": vars(job.recipe), **describe(job.step), "procedure": procedure}
