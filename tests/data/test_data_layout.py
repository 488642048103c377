"""Records of several inputs and of whole numbers: kept exactly, in their types, and refused where they cannot be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memberwise.data import Dataset, from_object
from memberwise.errors import DataError


def unpacked(dataset: Dataset) -> Any:
    assert dataset.layout is not None
    return dataset.layout.unpacked(dataset.x)


def test_several_inputs_come_back_exactly_in_their_types() -> None:
    rng = np.random.default_rng(0)
    inputs = {
        "ids": rng.integers(0, 30_000, (20, 7)),
        "mask": rng.integers(0, 2, (20, 7)).astype(bool),
        "grid": rng.normal(size=(20, 2, 3)),
        "age": rng.integers(0, 99, 20).astype(np.int32),
    }
    dataset = from_object((inputs, np.arange(20) % 2), source="test")
    back = unpacked(dataset)
    assert [(name, part.dtype.name) for name, part in back.items()] == [
        ("ids", "int64"),
        ("mask", "bool"),
        ("grid", "float32"),
        ("age", "int32"),
    ]
    for name in ("ids", "mask", "age"):
        np.testing.assert_array_equal(back[name], inputs[name])
    np.testing.assert_array_equal(back["grid"], inputs["grid"].astype(np.float32))


def test_names_and_types_of_inputs_are_part_of_the_hash() -> None:
    x, y = np.arange(8).reshape(4, 2), [0, 1, 0, 1]
    hashes = {
        from_object(({name: x.astype(kind)}, y), source="test").sha256
        for name in ("a", "b")
        for kind in ("int64", "int32")
    }
    assert len(hashes) == 4


def test_parts_of_several_inputs_in_a_file_become_one(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        f"x_{part}.{name}": np.full((n, 2), n) for part, n in (("train", 4), ("test", 6)) for name in ("a", "b")
    }
    np.savez(tmp_path / "d.npz", y_train=[0, 1, 0, 1], y_test=[0, 1] * 3, **arrays)
    with np.load(tmp_path / "d.npz") as file:
        dataset = from_object(dict(file), source="test")
    assert dataset.test is not None
    assert dataset.test.tolist() == [4, 5, 6, 7, 8, 9]
    assert unpacked(dataset)["b"][:, 1].tolist() == [4] * 4 + [6] * 6


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": np.zeros((4, 2)), "b": np.zeros((3, 2))}, "do not fit each other"),
        ({"a": np.full((4, 1), 2**40)}, "too large to be kept exactly"),
        ({"a": np.array([["x"], ["y"], ["x"], ["y"]])}, "tokenise texts first"),
        ({}, "differ between the parts"),
        ({"a": np.zeros((5, 2))}, "do not fit the records"),
    ],
)
def test_inputs_that_cannot_be_kept_are_refused(inputs: Any, message: Any) -> None:
    with pytest.raises(DataError, match=message):
        from_object((inputs, [0, 1, 0, 1]), source="test")


def test_integer_array_of_small_values_is_not_scaled() -> None:
    x = np.random.default_rng(0).integers(0, 256, (10, 2, 64))
    dataset = from_object((x, np.arange(10) % 2), source="test")
    np.testing.assert_array_equal(unpacked(dataset), x)
    assert unpacked(dataset).dtype == np.int64
