from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from memberwise.data import Dataset, encode, from_object, load
from memberwise.errors import DataError, MemberwiseError


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_hash_is_that_of_the_written_out_content() -> None:
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    dataset = from_object({"x": x, "y": [0, 1, 0], "g": ["a", "b", "ä"]}, source="s", group="g")
    expected = digest(
        b"x <f4 (3, 2)\n", x.astype("<f4").tobytes(),
        b"y <i8 (3,)\n", np.array([0, 1, 0], "<i8").tobytes(),
        b"groups |u1 (6,)\n", "a\0b\0ä".encode(),
    )  # fmt: skip
    assert dataset.sha256 == expected


def test_hash_ignores_memory_order_and_sees_every_part() -> None:
    x, y = np.arange(12, dtype=np.uint8).reshape(2, 3, 2), np.array([0, 1])
    same = Dataset(np.asfortranarray(x), y.astype(">i8"), ("a", "b"), "other name")
    assert Dataset(x, y, ("a", "b"), "s").sha256 == same.sha256
    others = [
        Dataset(x[::-1], y, ("a", "b"), "s"),
        Dataset(x, y[::-1], ("a", "b"), "s"),
        Dataset(x.astype(np.float32), y, ("a", "b"), "s"),
        Dataset(x, y, ("a", "b"), "s", units=np.array(["p", "q"])),
        Dataset(x, y, ("a", "b"), "s", groups=np.array(["p", "q"])),
    ]
    assert len({d.sha256 for d in [same, *others]}) == 6


def test_table_hash_survives_encoding_and_sees_missing_values() -> None:
    frame = pd.DataFrame({"a": [1.5, 2.0, 3.0], "b": ["u", None, "v"], "label": [0, 1, 1]})
    dataset = from_object(frame, source="s")
    assert encode(dataset, np.arange(3)).sha256 == dataset.sha256
    assert from_object(frame.fillna({"b": ""}), source="s").sha256 != dataset.sha256


def test_digits_are_in_unit_range_and_their_hash_is_pinned() -> None:
    digits = load("digits")
    assert (digits.records, digits.shape, digits.kind, digits.classes) == (1797, (8, 8), "image", tuple("0123456789"))
    assert digits.x.dtype == np.float32
    assert (digits.x.min(), digits.x.max()) == (0, 1)
    assert digits.test is None
    assert digits.sha256 == "591d9e39fffab0bebbdc153d520b0d0521f991b23c2f1fbdb45fce979c5564ca"


@pytest.mark.parametrize(
    ("values", "dtype", "top"),
    [
        (np.array([[0, 255]] * 4, np.uint8), np.float32, 255),
        (np.full((4, 8, 9), 200, np.uint8), np.uint8, 200),
        (np.full((4, 3, 8, 9), 200, np.uint8), np.uint8, 200),
        (np.full((4, 8, 9, 4), 200, np.uint8), np.uint8, 200),
        (np.full((4, 2, 30), 200, np.uint8), np.float32, 200),
        (np.full((4, 8, 100), 200, np.uint8), np.float32, 200),
        (np.full((4, 2, 8, 9), 200, np.uint8), np.float32, 200),
        (np.full((4, 8, 8, 8), 200, np.uint8), np.float32, 200),
        (np.full((4, 28, 28), 200, np.uint16), np.float32, 200),
        (np.array([[0, 1]] * 4, np.uint8), np.float32, 1),
        (np.array([[0, 200]] * 4, np.int64), np.float32, 200),
        (np.array([[True, False]] * 4), np.float32, 1),
        (np.full((4, 28, 28), 200, np.int64), np.float32, 200),
        (np.full((4, 28, 28), 1, np.uint8), np.float32, 1),
        (np.full((4, 5, 5), 300, np.int64), np.float32, 300),
        (np.full((4, 5, 5), 0.5), np.float32, 0.5),
    ],
)
def test_only_unsigned_bytes_in_the_shape_of_images_stay_bytes(values: np.ndarray, dtype: type, top: float) -> None:
    x = from_object((values, [0, 1, 0, 1]), source="s").x
    assert x.dtype == dtype
    assert x.max() == top


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((2, 8, 9, 3), (3, 8, 9)), ((2, 3, 8, 9), (3, 8, 9)), ((2, 8, 9, 1), (1, 8, 9)), ((2, 1, 8, 9), (1, 8, 9))],
)
def test_images_become_channel_first(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    dataset = from_object((x, [0, 1]), source="s")
    assert dataset.shape == expected
    assert dataset.x.flags.c_contiguous
    pixel = x[1, 2, 5] if shape[-1] in (1, 3) else x[1, :, 2, 5]
    assert (dataset.x[1, :, 2, 5] == pixel).all()


def test_the_test_part_comes_after_the_training_part() -> None:
    arrays = {"x_train": np.zeros((3, 2)), "y_train": [0, 1, 0], "x_test": np.ones((2, 2)), "y_test": [1, 1]}
    dataset = from_object(arrays | {"classes": ["no", "yes"]}, source="s")
    assert dataset.test is not None
    assert dataset.test.tolist() == [3, 4]
    assert dataset.x[dataset.test].min() == 1
    assert dataset.classes == ("no", "yes")


def test_a_frame_keeps_the_group_as_a_feature_and_drops_the_unit() -> None:
    frame = pd.DataFrame({"sex": ["f", None, "m"], "person": [7, 7, 8], "age": [1, 2, 3], "d": ["x", "y", "x"]})
    dataset = from_object(frame, source="s", label="d", group="sex", unit="person")
    assert dataset.frame is not None
    assert list(dataset.frame) == ["sex", "age"]
    assert dataset.groups is not None
    assert dataset.groups.tolist() == ["f", "(missing)", "m"]
    assert dataset.units is not None
    assert dataset.units.tolist() == ["7", "7", "8"]
    assert dataset.classes == ("x", "y")
    assert not dataset.encoded


def test_a_frame_of_features_with_labels_beside_it() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["u", "v"]})
    dataset = from_object((frame, np.array(["n", "y"])), source="s")
    assert dataset.frame is not None
    assert list(dataset.frame) == ["a", "b"]
    assert dataset.y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("data", "kwargs", "message"),
    [
        (3, {}, "not a data set.*found: int"),
        ({"y": [1]}, {}, r"no array 'x'.*x, or x_train and x_test.*found: y"),
        ({"x": np.zeros((2, 2))}, {}, "no array 'y'"),
        ({"x": np.zeros((2, 2)), "y": [0, 1, 1]}, {}, "labels do not fit the records.*expected: 2.*found: 3"),
        ({"x": np.zeros((2, 2)), "y": [0, 1], "u": [1]}, {"unit": "u"}, "units do not fit.*found: 1"),
        ((np.zeros(3), [0, 1, 1]), {}, r"wrong shape.*\(3,\)"),
        ((np.zeros((3, 0)), [0, 1, 1]), {}, "wrong shape"),
        ((np.array([["a"], ["b"]]), [0, 1]), {}, "not numbers"),
        ({"x_train": np.zeros((2, 2)), "x_test": np.zeros((2, 3)), "y": [0] * 4}, {}, r"\(2, 2\) and \(2, 3\)"),
        (pd.DataFrame({"a": [1], "b": [2]}), {}, "no label column 'label'.*one of a, b.*--label COLUMN"),
        (pd.DataFrame({"a": [1], "b": [2]}), {"label": "b", "group": "c"}, "no group column 'c'"),
        (pd.DataFrame({"b": [2]}), {"label": "b"}, "no feature columns"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {"label": "a"}, "same name.*found: a"),
        (pd.DataFrame({"p": [1, None], "a": [1, 2], "label": [0, 1]}), {"unit": "p"}, "empty unit in row 1"),
    ],
)
def test_what_is_no_data_set_is_refused(data: object, kwargs: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=f"(?s){message}"):
        from_object(data, source="s", **kwargs)


def test_errors_are_value_errors_with_exit_code_2() -> None:
    with pytest.raises(ValueError, match="not a data set") as caught:
        from_object(None, source="s")
    assert isinstance(caught.value, MemberwiseError)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.full((4, 28, 28), 200, np.uint8), "scaled-images"),
        (np.full((4, 28, 28), 200, np.int64), "not-scaled"),
        (np.full((4, 784), 200, np.uint8), "not-scaled"),
        (np.full((4, 2, 12), 99, np.uint8), "not-scaled"),
        (np.full((4, 3), 2**24 + 1, np.int64), "not-exact"),
        (np.full((4, 2, 12), 99, np.int64), None),
        (np.full((4, 12), 99, np.int64), None),
        (np.full((4, 12), 1, np.uint8), None),
        (np.full((4, 28, 28), 200.0), None),
    ],
)
def test_what_becomes_of_whole_numbers_is_told(values: np.ndarray, code: str | None) -> None:
    notes = from_object((values, [0, 1, 0, 1]), source="s").notes
    assert [found for found, _ in notes] == ([] if code is None else [code])


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.uint8])
@pytest.mark.parametrize("shape", [(2, 12), (12,), (3, 12), (1, 2, 12), (12, 3), (5, 7, 3)])
def test_token_numbers_arrive_as_they_are(dtype: type, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 100, (4, *shape)).astype(dtype)  # type: ignore[var-annotated]
    x = from_object((values, [0, 1, 0, 1]), source="s").x
    assert x.dtype == np.float32
    assert x.shape == values.shape
    assert (x == values).all()
