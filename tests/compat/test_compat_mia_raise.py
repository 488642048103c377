from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from memberwise.compat.mia.estimators import AttackModelBundle, ShadowModelBundle, prepare_attack_data
from memberwise.errors import DataError, StudyError, TargetError

X, Y = np.arange(40.0).reshape(20, 2), np.eye(2)[np.arange(20) % 2]


class Fixed:
    """Answers what it is told to."""

    def __init__(self, answers: Any = None) -> None:
        self.answers = answers

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> None:
        pass

    def predict(self, X: NDArray[Any]) -> Any:
        return np.full((len(X), 2), 0.5) if self.answers is None else self.answers


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (2 * Y, r"labels are not classes.*one-hot.*20 other rows of 20.*where: y.*numpy.eye"),
        (1 - 0 * Y, r"labels are not classes.*one-hot"),
        (Y[:, :1], r"labels are not classes.*10 other rows"),
        (np.arange(20) - 1, r"labels are not classes.*from -1 to 18"),
        (np.arange(20) / 2, r"labels are not classes"),
        (np.array(["a", "b"] * 10), r"labels are not classes.*<U1"),
        (np.eye(3)[np.arange(20) % 2], r"labels do not fit.*expected: 2 classes.*found: 3 classes.*data_in"),
        (np.arange(20), r"labels do not fit.*expected: 2 classes"),
        (Y[:5], r"records and labels differ in number.*20 and 5"),
    ],
)
def test_labels(y: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"(?s){message}"):
        ShadowModelBundle(Fixed, 10, 1).fit_transform(X, y)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (np.full((20, 2), 3.0), r"does not answer probabilities.*from 3 to 3.*Fixed.*SklearnWrapper and TorchWrapper"),
        (np.full((20, 2), np.nan), r"does not answer probabilities"),
        (np.full((3, 2), 0.5), r"shape \(3, 2\) for 20 records"),
        ([np.full((20, 2), 0.5)] * 2, r"shape \(2, 20, 2\) for 20 records"),  # a forest trained on one-hot labels
    ],
)
def test_answers_that_are_no_probabilities(answers: Any, message: str) -> None:
    with pytest.raises(TargetError, match=f"(?s){message}"):
        prepare_attack_data(Fixed(answers), (X, Y), (X, Y))


def test_too_few_records_and_no_models() -> None:
    with pytest.raises(DataError, match=r"(?s)too few records.*expected: 22: 11.*found: 20.*at most 10"):
        ShadowModelBundle(Fixed, 11).fit_transform(X, Y)
    with pytest.raises(StudyError, match=r"(?s)at least 1.*found: 10 and 0"):
        ShadowModelBundle(Fixed, 10, num_models=0)


def test_one_object_twice() -> None:
    model = Fixed()
    with pytest.raises(TargetError, match="gives the same object twice"):
        ShadowModelBundle(lambda: model, 10, 2).fit_transform(X, Y)


DATA = np.column_stack([np.full((8, 2), 0.5), np.eye(2)[[0, 0, 0, 0, 1, 1, 1, 1]]])
MEMBER = np.array([1, 0] * 4)


@pytest.mark.parametrize("classes", [1, 3])
def test_num_classes_that_does_not_match(classes: int) -> None:
    amb = AttackModelBundle(Fixed, num_classes=classes)
    with pytest.raises(DataError, match=rf"(?s)expected: {2 * classes} columns.*found: shape \(8, 4\).*num_classes is"):
        amb.fit(DATA, MEMBER)


def test_attack_data_that_teach_nothing() -> None:
    with pytest.raises(DataError, match=r"(?s)can be learned about class 1.*found: 0 and 4.*more shadow models"):
        AttackModelBundle(Fixed, 2).fit(DATA, np.array([1, 0, 1, 0, 0, 0, 0, 0]))
    with pytest.raises(DataError, match=r"membership must be 1 or 0"):
        AttackModelBundle(Fixed, 2).fit(DATA, MEMBER[:5])
    with pytest.raises(DataError, match=r"membership must be 1 or 0"):
        AttackModelBundle(Fixed, 2).fit(DATA, MEMBER + 1)
    with pytest.raises(DataError, match=r"labels are not classes"):
        AttackModelBundle(Fixed, 2, class_one_hot_coded=True).fit(DATA[:, [2, 3, 0, 1]], MEMBER)


def test_an_attack_model_of_three_classes() -> None:
    amb = AttackModelBundle(lambda: Fixed(np.full((4, 3), 0.3)), 2).fit(DATA, MEMBER)
    with pytest.raises(TargetError, match=r"(?s)no binary classifier.*3 columns"):
        amb.predict(DATA)
