"""MedMNIST's files (DermaMNIST and its siblings): images in three parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from memberwise.errors import DataError
from memberwise.types.arrays import Arrays

PARTS = ("train", "val", "test")
# HAM10000's seven diagnoses in DermaMNIST's order.
DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def is_medmnist(arrays: Mapping[str, object]) -> bool:
    """The arrays have MedMNIST's names."""
    return "train_images" in arrays


def from_medmnist(arrays: Mapping[str, object], source: str) -> Arrays:
    """``x_train, y_train, x_test, y_test``: the training part, then the validation part; the test part stays apart.

    Args:
        arrays: for each part ``PART_images`` ``(n, H, W)`` or ``(n, H, W, 3)`` uint8 and ``PART_labels`` ``(n, 1)``
            (Yang et al. 2023, "MedMNIST v2", Scientific Data 10:41).

    Raises:
        DataError: a part is missing, or a record has several labels.
    """
    names = [f"{part}_{what}" for part in PARTS for what in ("images", "labels")]
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError("a part of MedMNIST's file is missing", found=f"no {', '.join(missing)}", where=source)
    labels = {part: np.asarray(arrays[f"{part}_labels"]) for part in PARTS}
    for part, values in labels.items():
        if values.ndim > 2 or (values.ndim == 2 and values.shape[1] != 1):
            raise DataError(
                "a record has several labels",
                expected="one class a record, labels of shape (n, 1)",
                found=f"{part}_labels of shape {values.shape}",
                where=source,
                fix="save one of its columns: numpy.savez(FILE, x=images, y=labels[:, 0])",
            )
    return {
        "x_train": np.concatenate([arrays["train_images"], arrays["val_images"]]),
        "y_train": np.concatenate([labels["train"].ravel(), labels["val"].ravel()]),
        "x_test": np.asarray(arrays["test_images"]),
        "y_test": labels["test"].ravel(),
    }
