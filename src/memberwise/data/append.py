"""Further records behind those of a data set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from memberwise.data.dataset import Dataset
from memberwise.data.label_sets import read_label_sets
from memberwise.errors import DataError
from memberwise.types.arrays import Array


def append(dataset: Dataset, more: Dataset) -> Dataset:
    """``dataset`` with the records of ``more`` (read with the same classes and columns) as further rows."""
    if (dataset.label_sets is None) != (more.label_sets is None):
        raise DataError(
            "these records have not as many labels as the data set",
            expected="one class a record" if dataset.label_sets is None else ", ".join(dataset.label_sets.names),
            where=more.source,
        )
    if dataset.label_sets is not None and more.label_sets is not None:
        names = dataset.label_sets.names
        if more.label_sets.names != names:
            raise DataError(
                "these records have other labels",
                expected=", ".join(names),
                found=", ".join(more.label_sets.names),
                where=more.source,
            )
        y, sets = read_label_sets(more.answers_wanted, names, more.source, known=dataset.label_sets)
        dataset = replace(dataset, label_sets=sets, classes=sets.classes)
        more = replace(more, y=y, label_sets=sets)
    if (dataset.frame is None) != (more.frame is None):
        raise DataError(
            "these records cannot join the data set",
            expected="a table of the same columns" if dataset.frame is not None else "arrays of the same shape",
            where=more.source,
        )
    frame = None
    layout = None if dataset.layout is None or more.layout is None else dataset.layout.joined(more.layout)
    if dataset.frame is not None and more.frame is not None:
        missing = [str(column) for column in dataset.frame if column not in more.frame]
        if missing:
            raise DataError("columns of the data set are missing", found=", ".join(missing), where=more.source)
        frame = pd.concat([dataset.frame, more.frame[list(dataset.frame)]], ignore_index=True)
    elif dataset.several != more.several or (dataset.several and layout is None):
        raise DataError(
            "these records do not have the inputs of the data set",
            expected="plain features" if dataset.layout is None else dataset.layout.words(),
            found="plain features" if more.layout is None else more.layout.words(),
            where=more.source,
        )
    elif dataset.shape != more.shape or dataset.x.dtype != more.x.dtype:
        raise DataError(
            "these records do not have the features of the data set",
            expected=f"{dataset.x.dtype} of shape {dataset.shape} a record",
            found=f"{more.x.dtype} of shape {more.shape}",
            where=more.source,
        )
    return replace(
        dataset,
        x=np.concatenate([dataset.x, more.x]),
        y=np.concatenate([dataset.y, more.y]),
        groups=_both(dataset.groups, more.groups),
        units=_both(dataset.units, more.units),
        frame=frame,
        layout=layout,
    )


def _both(first: Array | None, second: Array | None) -> Array | None:
    return None if first is None or second is None else np.concatenate([first, second])
