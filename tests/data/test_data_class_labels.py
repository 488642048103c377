"""The data's own labels, by which estimators are fitted and their answers are put in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memberwise.data import from_object
from memberwise.data.labels import ClassLabels, own_labels


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ([-1, 1, 1, -1], [-1, 1]),
        ([1.0, 2.0, 2.0, 1.0], [1.0, 2.0]),
        ([True, False, True, False], [False, True]),
        (["no", "yes", "yes", "no"], ["no", "yes"]),
        (np.array(["no", "yes", "yes", "no"], object), ["no", "yes"]),
        (np.array([True, False, True, False], object), [False, True]),
        (np.array([1, 2, 2, 1], object), [1, 2]),
        (pd.Categorical(["b", "a", "a", "b"]), ["a", "b"]),
        (np.array([b"n", b"y", b"y", b"n"]), ["n", "y"]),
        (np.array([3, 1, 1, 3], np.int8), [1, 3]),
    ],
)
def test_a_data_set_keeps_its_own_labels(labels: Any, values: list[Any]) -> None:
    for data in ((np.zeros((4, 2)), labels), pd.DataFrame({"a": [1.0, 2, 3, 4], "label": labels})):
        found = from_object(data, source="s").class_labels
        assert found.values.tolist() == values
        assert {type(value) for value in found.values.tolist()} == {type(value) for value in values}


def test_numbers_into_names_stay_numbers() -> None:
    dataset = from_object({"x": np.zeros((4, 2)), "y": [0, 0, 2, 2], "classes": list("abc")}, source="s")
    assert dataset.class_labels.values.tolist() == [0, 1, 2]
    assert ClassLabels.of(("1", "2", "7")).values.tolist() == [1, 2, 7]
    assert own_labels(["a", "b"], np.array([0, 1]), "abc") is None


@pytest.mark.parametrize(
    ("values", "asked", "numbers"),
    [
        ([1, 2, 3], [1.0, 3.0], [0, 2]),
        ([0, 1], [True, False], [1, 0]),
        ([False, True], [0, 1], [0, 1]),
        (["1", "2"], [1, 2], [0, 1]),
        ([1, 2], ["2", "1.0"], [1, 0]),
        ([False, True], ["True", "False"], [1, 0]),
        (["no", "yes"], np.array([b"yes"]), [1]),
        (["no", "yes"], [0, 1], [-1, -1]),
        ([1, 2], [0, 1], [-1, 0]),
        (["1", "01"], ["01"], [1]),
        (["1", "01"], [1], [-1]),
        ([2**60, 2**60 + 1], [2**60 + 1], [1]),
    ],
)
def test_labels_are_compared_by_value_then_by_what_they_read_as(values: Any, asked: Any, numbers: list[int]) -> None:
    labels = ClassLabels.of([str(v) for v in values], np.array(values))
    assert labels.numbers_of(np.array(asked)).tolist() == numbers


# NumPy's texts lose a NUL at their end.
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.integers(-50, 50) | WORDS, min_size=1, max_size=12, unique_by=str))
def test_every_label_of_the_data_is_its_own_class(values: list[Any]) -> None:
    kinds = [int, str] if len({type(value) for value in values}) > 1 else [type(values[0])]
    for kind in kinds:
        same = [value for value in values if type(value) is kind]
        labels = ClassLabels.of([str(value) for value in same], np.array(same, object if kind is str else None))
        assert labels.numbers_of(labels.values).tolist() == list(range(len(same)))
