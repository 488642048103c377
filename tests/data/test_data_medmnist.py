from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from memberwise.data import SOURCES, at_hand, load
from memberwise.errors import DataError

COUNTS = {"train": 14, "val": 7, "test": 7}


@pytest.fixture
def arrays() -> dict[str, NDArray[Any]]:
    """DermaMNIST's layout: the shade of an image is its number, train 0.., val 50.., test 100.."""
    made: dict[str, NDArray[Any]] = {}
    for place, (part, count) in enumerate(COUNTS.items()):
        shades = (50 * place + np.arange(count)).astype(np.uint8)
        made[f"{part}_images"] = np.broadcast_to(shades[:, None, None, None], (count, 28, 28, 3))
        made[f"{part}_labels"] = (np.arange(count) % 7).astype(np.uint8)[:, None]
    return made


def test_parts_are_pooled_in_order(arrays: dict[str, NDArray[Any]], tmp_path: Path) -> None:
    np.savez(tmp_path / "pathmnist.npz", **arrays)  # type: ignore[arg-type]
    data = load(tmp_path / "pathmnist.npz")
    assert data.x.shape == (28, 3, 28, 28)
    assert data.x.dtype == np.uint8
    assert data.x[:, 2, 5, 6].tolist() == [*range(14), *range(50, 57), *range(100, 107)]
    assert data.y.tolist() == [*range(7)] * 4
    assert data.test is not None
    assert data.test.tolist() == list(range(21, 28))
    assert load(arrays).sha256 == data.sha256


@pytest.mark.parametrize(("name", "file"), [("dermamnist", "dermamnist.npz"), ("dermamnist-64", "dermamnist_64.npz")])
def test_dermamnist_by_name(
    name: str, file: str, arrays: dict[str, NDArray[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMBERWISE_DATA", str(tmp_path))
    assert not at_hand(SOURCES[name])
    with pytest.raises(DataError, match=rf"(?s)expected: {file}.*no SHA-256.*medmnist.com"):
        load(name)
    np.savez(tmp_path / file, **arrays)  # type: ignore[arg-type]
    assert at_hand(SOURCES[name])
    data = load(name)
    assert data.classes == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert data.y[:7].tolist() == list(range(7))
    assert data.source == name


def test_grey_images_stay_grey(arrays: dict[str, NDArray[Any]]) -> None:
    grey = {name: values[..., 0] if "images" in name else values for name, values in arrays.items()}
    assert load(grey).x.shape == (28, 28, 28)


def test_several_labels_and_missing_parts(arrays: dict[str, NDArray[Any]]) -> None:
    several = arrays | {"val_labels": np.zeros((7, 14), np.uint8)}
    with pytest.raises(DataError, match=r"(?s)several labels.*val_labels of shape \(7, 14\)"):
        load(several)
    del arrays["val_images"]
    with pytest.raises(DataError, match=r"(?s)part of MedMNIST's file is missing.*no val_images"):
        load(arrays)
