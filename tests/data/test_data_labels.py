from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memberwise.data.labels import number_labels
from memberwise.errors import DataError


@pytest.mark.parametrize(
    ("values", "numbers", "names"),
    [
        ([3, 1, 3, 2], [2, 0, 2, 1], ("1", "2", "3")),
        ([10, 9, 2], [2, 1, 0], ("2", "9", "10")),
        (["b", "a", "b"], [1, 0, 1], ("a", "b")),
        ([1.0, 0.0], [1, 0], ("0", "1")),
        ([True, False], [1, 0], ("0", "1")),
        (np.array([b"n", b"y"]), [0, 1], ("n", "y")),
        (np.array([5, 7], dtype=object), [0, 1], ("5", "7")),
        (pd.Series(["u", "v"], dtype="category").to_numpy(), [0, 1], ("u", "v")),
        (np.array([], dtype=np.int64), [], ()),
    ],
)
def test_labels_are_sorted_and_numbered(values: object, numbers: list[int], names: tuple[str, ...]) -> None:
    y, classes = number_labels(values, where="w")
    assert y.dtype == np.int64
    assert y.tolist() == numbers
    assert classes == names


@given(st.lists(st.one_of(st.text(max_size=3)), min_size=1, max_size=30))
def test_names_give_the_labels_back(values: list[str]) -> None:
    values = [value.rstrip("\0") for value in values]  # NumPy's texts end before trailing zeros
    y, classes = number_labels(values, where="w")
    assert [classes[number] for number in y] == values
    again, _ = number_labels(values[:1], classes, where="w")
    assert again[0] == y[0]


@pytest.mark.parametrize(
    ("values", "classes", "numbers"),
    [
        ([0, 2], ("cat", "dog", "eel"), [0, 2]),
        (["eel", "cat"], ("cat", "dog", "eel"), [2, 0]),
        ([1, 30], tuple(map(str, range(1, 31))), [0, 29]),
    ],
)
def test_fixed_classes_are_kept(values: list[object], classes: tuple[str, ...], numbers: list[int]) -> None:
    y, names = number_labels(values, classes, where="w")
    assert y.tolist() == numbers
    assert names == classes


@pytest.mark.parametrize(
    ("values", "classes", "message"),
    [
        ([[0, 1]], None, r"one per record.*shape \(1, 2\)"),
        ([0.5, 1], None, "not integers.*0.5 in row 0.*--label"),
        ([1, np.inf], None, "not integers.*inf in row 1"),
        ([1, np.nan], None, "missing.*1 of 2, the first in row 1"),
        (["a", None], None, "missing"),
        (np.array([1j]), None, "neither integers nor texts"),
        ([0, 3], ("a", "b"), "none of the classes.*one of a, b.*found: 3"),
        ([-1], ("a", "b"), "none of the classes"),
        (["c"], ("a", "b"), "none of the classes.*found: c"),
        ([0], ("a", "a"), "same name"),
    ],
)
def test_other_labels_are_refused(values: object, classes: tuple[str, ...] | None, message: str) -> None:
    with pytest.raises(DataError, match=f"(?s){message}"):
        number_labels(values, classes, where="w")
