"""What every model is asked, and what asks for more: a study's questions, its output defences and its collectors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from memberwise.data.dataset import as_float
from memberwise.types.arrays import Array, Ints

if TYPE_CHECKING:
    from memberwise.defences.output.base import OutputDefence
    from memberwise.targets.base import Records, Target


@dataclass(frozen=True)
class Access:
    """The models of one stack, as a collector may have them.

    Attributes:
        count: the first ``count`` models are asked; the others' answers are thrown away.
        served: all of them behind the study's output defences: what an attacker gets to ask. ``served.one(i)`` is the
            i-th of them, for questions that differ from model to model.
        models: all of them themselves, weights included: for white-box attacks.
    """

    count: int
    served: Target
    models: Target


@dataclass(frozen=True)
class Extra:
    """What a collector gathered.

    Attributes:
        values: ``(count,)``, or by record ``(count, n, ...)`` in the order of ``Questions.audited``; NaN where a record
            was not asked about.
        queries: ``(count, n)`` int32, how many questions each model was asked about each record, itself included.
    """

    values: Array
    queries: NDArray[np.int32]


class Collector(Protocol):
    """An object of a frozen dataclass or pydantic model: its fields are its parameters, and part of the key under which
    its answers are kept.

    Attributes:
        name: as attacks need it (``Needs.extra``).
        words: what an attacker needs for it, in words.
        most_models: the target and so many first shadow models are asked: costs are bounded, and thresholds and
            attack models need no more.

    ``asks(questions)``, where it has it, says how many questions it puts to one model at most.
    """

    name: ClassVar[str]
    words: ClassVar[str]
    most_models: ClassVar[int]

    def collect(self, access: Access, questions: Questions) -> Extra | None:
        """What these models answer, or None where they or the records cannot be asked so."""
        ...


@dataclass(frozen=True)
class Questions:
    """What every model is asked about.

    Attributes:
        x: all records, uint8 (asked as [0, 1]) or float32.
        y: ``(n,)`` class numbers, or ``(n, L)`` 0/1 where a record has several labels.
        only: signals are about this one of several labels; None: about all.
        audited, population, test: row numbers.
        background: rows (a sample, at most) on which a model's training accuracy is measured beside audited ones.
        background_weight: how many rows each of them stands for.
        queries: "none", "mirror" or "shift18".
        defences: output defences between the models and whoever asks; each model's secret is made from ``key``.
        reference: rows of the reference role, for defences which learn.
        validation: rows of the validation role, where there are any: the accuracy by which parameters are chosen.
        auxiliary: rows of the auxiliary role, where shadow models train on these: attack models learn from them.
        rng_seed: seed of what collectors draw.
        extras: collectors, which ask more questions for the attacks that need them.
        temperatures: at which p_y of audited and population records is kept, beside 1.
        early, early_population: positions, among audited and population records, of those that early checkpoints of
            shadow models are asked about; empty: no checkpoints.
        as_stored: ``x`` is asked about as it is (float64 numbers of table rows).
    """

    x: Array
    y: Ints
    classes: int
    audited: Ints
    population: Ints
    test: Ints
    background: Ints
    background_weight: float = 1.0
    queries: str = "none"
    defences: tuple[OutputDefence, ...] = ()
    key: bytes = b""
    reference: Ints | None = None
    rng_seed: int = 0
    extras: tuple[Collector, ...] = ()
    validation: Ints | None = None
    auxiliary: Ints | None = None
    temperatures: tuple[float, ...] = ()
    as_stored: bool = False
    only: int | None = None
    early: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    early_population: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    def records(self, rows: Ints) -> Records:
        """The records of ``(n,)`` rows, ``(n, ...)``: as stored, else float32."""
        return self.x[rows] if self.as_stored else as_float(self.x[rows])

    def models_of(self, collector: Collector) -> int:
        """How many first shadow models a collector asks: fewer where one answer asks the model many times, but two."""
        questions = math.prod(defence.queries for defence in self.defences)
        return max(min(2, collector.most_models), collector.most_models // questions)
