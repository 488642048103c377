"""Teachers on disjoint parts of the pool, whose noisy vote answers (see ``output/pate.py``)."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator
from torch import nn

from memberwise.defences.bounded.words import bounded_in_short, other_game
from memberwise.defences.output.pate import Pate
from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.ensemble import EnsembleProcedure
from memberwise.errors import Note, StudyError
from memberwise.types.arrays import Mask
from memberwise.types.parts import Plain

# Keeps these draws apart from others which are made from a job's seed.
_PURPOSE = 0x504154


class PateTeachers(EnsembleProcedure):
    """Papernot et al. 2018, section 2: each record is learned by one teacher."""

    def __init__(self, teachers: int) -> None:
        self.teachers = teachers

    def parts(self, rows: int, seed: int) -> Mask:
        return teacher_rows(rows, self.teachers, seed)


def teacher_rows(rows: int, teachers: int, seed: int) -> Mask:
    """``(T, rows)`` true where a teacher learns a row: each row is one teacher's, parts differ by one row at most."""
    places = np.random.default_rng([seed, _PURPOSE]).permutation(rows) % teachers
    return np.asarray(places == np.arange(teachers)[:, None])


class PateOptions(Options):
    """teachers: models on disjoint parts of the records; the others are those of the output defence ``pate``.

    epsilon: of all answers together, at delta, lasting for so many questions at least. More teachers bear more noise,
    and each learns fewer records.
    """

    teachers: int = Field(25, ge=2)
    epsilon: float | None = None
    delta: float | None = None
    questions: int | None = None
    threshold: float | None = None
    check: float | None = None
    sigma1: float | None = None
    sigma2: float | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        Pate.model_validate(self.served())
        return self

    def served(self) -> Plain:
        """Parameters of the output defence."""
        return self.model_dump(exclude={"teachers"}, exclude_none=True)


def _check(options: PateOptions, fit: Fit, module: nn.Module) -> list[Note]:
    if fit.rows < options.teachers:
        raise StudyError(
            "a teacher needs a record to learn",
            expected=f"at least {options.teachers} records",
            found=f"{fit.rows}",
            where="training.defence",
            fix="fewer teachers, or more records",
        )
    served = Pate.model_validate(options.served())
    noise = served.mechanism(options.teachers)
    return [
        Note(
            "pate-bound",
            f"{options.teachers} teachers vote, with noise of {noise.sigma2:.3g} votes on every count, for "
            f"{served.questions:,} questions or more; bounded is {bounded_in_short(served.limit)}. {other_game('ii')}",
        )
    ]


DEFENCE = TrainingDefence(
    name="pate",
    options=PateOptions,
    summary="Teachers on disjoint parts of the records vote under noise, and answer where enough of them agree.",
    source="Papernot et al. 2018, sections 2 and 3",
    procedure=lambda options, fit: PateTeachers(options.teachers),
    answer=lambda options: [{"name": "pate", **options.served()}],
    check=_check,
    guarantee="(epsilon, delta)-differential privacy of the answers: one record of the pool replaced by another",
    grid=({"epsilon": 64.0}, {"epsilon": 16.0}, {"epsilon": 4.0}),
    extra=("dp_accounting", "pate"),
)
