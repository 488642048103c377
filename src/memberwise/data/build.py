"""Arrays, mappings and frames become a ``Dataset``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from memberwise.data.dataset import Dataset
from memberwise.data.features import is_sparse
from memberwise.data.frames import from_frame
from memberwise.data.mappings import from_mapping
from memberwise.data.medmnist import from_medmnist, is_medmnist
from memberwise.errors import DataError


def from_object(
    data: object,
    *,
    source: str,
    label: str | None = None,
    group: str | None = None,
    unit: str | None = None,
    split: str | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """A ``Dataset`` from what a file, a function or Python code gives.

    Args:
        data: a DataFrame; a mapping with ``x``, ``y`` (or ``x_train``, ``y_train``, ``x_test``, ``y_test``) and
            perhaps ``classes``; MedMNIST's ``train_images`` and so on; or a pair ``(x, y)``. x may be a dictionary of
            several inputs, of any type of numbers; y ``(n, L)`` 0/1, several labels a record.
        source: how the user named it.
        label, group, unit: columns of a frame, or keys of a mapping (label: else ``label`` or ``y``).
        split: a frame's column that says "train" or "test".
        classes: names of the classes where they are fixed already.

    Raises:
        DataError: a part is missing, is not numbers, or the lengths differ.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, (tuple, list)) and len(data) == 2:
        data = {"x": data[0], "y": data[1]}
    if isinstance(data, pd.DataFrame):
        return from_frame(data, source, label, group, unit, split, classes)
    if isinstance(data, Mapping):
        if is_medmnist(data):
            dataset = from_mapping(from_medmnist(data, source), source, label, group, unit, classes)
            return replace(dataset, notes=())  # its format says that they are images
        return from_mapping(data, source, label, group, unit, classes)
    if is_sparse(data):
        raise DataError(
            "this is a sparse matrix without labels", expected="(x, y): the matrix and its labels", where=source
        )
    raise DataError(
        "this is not a data set",
        expected="(x, y), a dict with x and y, or a DataFrame",
        found=type(data).__name__,
        where=source,
    )
