"""The teachers that ``pate`` trains: who learns what, and what its options become."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from defence_cases import RECIPE, jobs, mlp
from hypothesis import given
from hypothesis import strategies as st

from memberwise.defences.bounded.words import other_game
from memberwise.defences.training.base import Fit
from memberwise.defences.training.pate import DEFENCE, PateOptions, PateTeachers, teacher_rows
from memberwise.defences.training.registry import write_out_defence
from memberwise.errors import StudyError
from memberwise.study.reading import make_study
from memberwise.training.step import Step


@given(st.integers(2, 300), st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_every_record_is_one_teachers(rows: int, teachers: int, seed: int) -> None:
    parts = teacher_rows(rows, teachers, seed)
    assert parts.shape == (teachers, rows)
    assert (parts.sum(0) == 1).all()
    assert np.ptp(parts.sum(1)) <= 1


def test_parts_follow_from_the_seed() -> None:
    assert np.array_equal(teacher_rows(50, 5, 7), teacher_rows(50, 5, 7))
    assert not np.array_equal(teacher_rows(50, 5, 7), teacher_rows(50, 5, 8))


def test_teachers_are_asked_for_on_their_own_rows() -> None:
    job = jobs(Step(), 1)[0]
    asked = next(PateTeachers(3).fit(job))
    assert sorted(np.concatenate([one.rows for one in asked]).tolist()) == sorted(job.rows.tolist())
    assert len({one.seed for one in asked}) == 3


def test_options_become_the_output_defence() -> None:
    values = {"data": {"source": "digits"}, "training": {"defence": {"name": "pate", "teachers": 7, "epsilon": 3.0}}}
    study = write_out_defence(make_study(values, "a test"))
    assert [one.model_dump(exclude_none=True) for one in study.answer] == [{"name": "pate", "epsilon": 3.0}]
    assert write_out_defence(study) == study


@pytest.mark.parametrize(
    "options", [{"epsilon": 0.0}, {"delta": 1.0}, {"threshold": 1.2}, {"sigma2": 3.0}, {"teachers": 1}, {"worlds": 5}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    values = {"data": {"source": "digits"}, "training": {"defence": {"name": "pate", **options}}}
    with pytest.raises(StudyError, match=next(iter(options))):
        write_out_defence(make_study(values, "a test"))


def test_the_note_names_epsilon_and_the_other_game() -> None:
    assert DEFENCE.check is not None
    [note] = DEFENCE.check(PateOptions(teachers=5), Fit(4, 50, RECIPE), mlp().made(0))
    assert "epsilon 8 at delta 1e-05" in note.message
    assert other_game("ii") in note.message
    with pytest.raises(StudyError, match="a teacher needs a record"):
        DEFENCE.check(PateOptions(teachers=51), Fit(4, 50, RECIPE), mlp().made(0))
