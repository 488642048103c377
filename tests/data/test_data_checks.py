from __future__ import annotations

import numpy as np
import pytest

from memberwise.data import check_dataset, duplicates, from_object
from memberwise.errors import DataError


@pytest.mark.parametrize(
    ("value", "name"), [(np.nan, "nan"), (np.inf, "inf"), (1e300, r"1e\+300"), (-1e39, r"-1e\+39")]
)
@pytest.mark.parametrize("shape", [(5, 4), (5, 2, 2)])
def test_nan_and_infinity_are_refused_with_their_place(value: float, name: str, shape: tuple[int, ...]) -> None:
    x = np.zeros(shape)
    x.reshape(5, -1)[[2, 3], [1, 0]] = value
    with pytest.raises(DataError, match=f"(?s)2 values, the first {name}.*s, row 2, column 1"):
        check_dataset(from_object((x, [0, 1, 0, 1, 0]), source="s"))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "b", "a", "c"], "2 of 3 classes have fewer than 2 records.*1 record of b, c.*row 1"),
        ([0.5, 1.5, 2.5, 3.5], "not integers"),
        ([1, 1, 1, 1], "all records are of one class.*found: 1"),
    ],
)
def test_labels_that_cannot_be_audited_are_refused(labels: list[object], message: str) -> None:
    with pytest.raises(DataError, match=f"(?s){message}"):
        check_dataset(from_object((np.zeros((4, 2)), labels), source="s"))


def test_no_records_are_refused() -> None:
    with pytest.raises(DataError, match="no records"):
        check_dataset(from_object((np.zeros((0, 2)), np.zeros(0, int)), source="s"))


def test_declared_classes_without_records_are_fine() -> None:
    check_dataset(from_object({"x": np.zeros((4, 2)), "y": [0, 0, 2, 2], "classes": list("abc")}, source="s"))


def test_duplicates_are_counted_as_a_slow_comparison_does() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (300, 4)).astype(np.float32)
    x[0, 0] = -0.0
    dataset = from_object((x, np.arange(300) % 2), source="s")
    members, nonmembers = np.arange(150), np.arange(150, 300)
    slow = sum(any((x[i] == x[j]).all() for j in members) for i in nonmembers)
    ((code, message),) = duplicates(dataset, members, nonmembers)
    assert code == "duplicates"
    assert f"{slow} of 150 non-members" in message


def test_no_warning_without_duplicates_and_bytes_work() -> None:
    x = np.arange(80, dtype=np.uint8).reshape(20, 2, 2)
    dataset = from_object((x, np.arange(20) % 2), source="s")
    assert duplicates(dataset, np.arange(10), np.arange(10, 20)) == []
    x[15] = x[3]
    dataset = from_object((x, np.arange(20) % 2), source="s")
    assert "1 of 10" in duplicates(dataset, np.arange(10), np.arange(10, 20))[0][1]


@pytest.mark.slow
def test_sixty_thousand_images_are_compared() -> None:
    """Pair by pair this would take hours."""
    x = np.random.default_rng(0).integers(0, 256, (60_000, 28, 28), dtype=np.uint8)
    dataset = from_object((x, np.arange(60_000) % 2), source="s")
    assert duplicates(dataset, np.arange(30_000), np.arange(30_000, 60_000)) == []
