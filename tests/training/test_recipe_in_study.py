"""What a study says of the recipe reaches every job, and what cannot be done is refused before any training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memberwise.auditing.prepare import Inputs, Prepared, prepare
from memberwise.auditing.resolve import resolve
from memberwise.data.dataset import Dataset
from memberwise.errors import StudyError
from memberwise.study.reading import make_study

RECIPE = {"epochs": 2, "augment": ["flip", "crop"], "patience": 1, "schedule": "step", "steps": [1], "nesterov": True}


def prepared(training: dict[str, Any], table: bool = False, **parts: dict[str, Any]) -> Prepared:
    """A study of four shadow models on digits (images), or on a small table."""
    values = {
        "data": {"members": 100, "nonmembers": 100, "population": 50} | parts.pop("data", {}),
        "training": training,
        "shadow": {"count": 4},
        "plan": {"stack": 2, "threads": 1},
        "run": {"device": "cpu"},
        **parts,
    }
    return prepare(resolve(make_study(values, "here")), Inputs(dataset=a_table() if table else None))


def a_table() -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5)).astype(np.float32)
    return Dataset(x, rng.integers(0, 3, 400), ("a", "b", "c"), "table")


def test_target_and_shadows_share_recipe_and_validation() -> None:
    made = prepared(RECIPE, data={"validation": 60})
    jobs = [made.target_job, *(made.shadow_job(k) for k in range(4))]
    assert len(jobs) == 5
    for job in jobs:
        assert (job.recipe.augment, job.recipe.patience, job.recipe.steps) == (("flip", "crop"), 1, (1,))
        assert job.validation is not None
        np.testing.assert_array_equal(job.validation, made.roles.validation)
        assert not np.isin(job.validation, job.rows).any()
        assert len(job.validation) == 60
    assert len({job.seed for job in jobs}) == 5
    answers = made.trainer.train([made.shadow_job(0), made.shadow_job(1)]).predict(
        made.questions.records(made.roles.test[:3])
    )
    assert answers.shape == (2, 3, 10)


def test_validation_rows_are_part_of_the_block_key() -> None:
    def roles(made: Prepared) -> dict[str, str]:
        part = made.identity["roles"]
        assert isinstance(part, dict)
        return part

    keys = [roles(prepared(RECIPE, data={"validation": count})) for count in (60, 61)]
    assert keys[0]["validation"] != keys[1]["validation"]
    plain = prepared({"epochs": 2}, data={"validation": 60})
    assert "validation" in roles(plain), "accuracy on them is measured"
    assert plain.target_job.validation is None
    assert "validation" not in roles(prepared({"epochs": 2}))


def test_early_stopping_without_validation_records_is_refused() -> None:
    with pytest.raises(StudyError, match=r"needs validation records[\s\S]*--validation"):
        prepared({"patience": 3})


@pytest.mark.parametrize("names", [["flip"], ["mixup", "cutout"]])
def test_augmentation_of_images_is_refused_on_tables(names: list[str]) -> None:
    with pytest.raises(StudyError, match=rf"augmentation by {names[-1]} is for images[\s\S]*mixup"):
        prepared({"augment": names}, table=True)


def test_mixup_is_for_tables_too() -> None:
    made = prepared({"augment": ["mixup"], "epochs": 1}, table=True)
    assert made.target_job.recipe.augment == ("mixup",)
    assert made.trainer.train([made.shadow_job(0), made.shadow_job(1)]).predict(
        made.questions.records(np.arange(4))
    ).shape == (
        2,
        4,
        3,
    )


@pytest.mark.parametrize("training", [{"augment": ["mixup"]}, {"patience": 1}])
def test_estimators_take_neither(training: dict[str, Any]) -> None:
    model = {"name": "sklearn.linear_model:LogisticRegression"}
    with pytest.raises(StudyError, match="for networks that are trained here"):
        prepared(training, data={"validation": 60}, model=model)
