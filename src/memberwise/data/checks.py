"""What must hold of records before anything is trained on them, and what deserves a warning."""

from __future__ import annotations

import hashlib

import numpy as np

from memberwise.data.dataset import Dataset
from memberwise.errors import DataError, Note
from memberwise.types.arrays import Array, Ints

# Code and message, as ``result.json`` lists warnings.


def check_dataset(dataset: Dataset, missing: bool = False) -> None:
    """Raises:
    DataError: no records, NaN or infinity in the features, one class only, or a class with a single record.

    Args:
        missing: NaN may stay: it is checked once the model is known.
    """
    if not dataset.records:
        raise DataError("there are no records", where=dataset.source)
    check_finite(dataset.x, dataset, missing)
    counts = np.bincount(dataset.y, minlength=len(dataset.classes))
    if (counts > 0).sum() < 2:
        raise DataError(
            "all records are of one class", found=dataset.classes[int(counts.argmax())], where=dataset.source
        )
    single = np.flatnonzero(counts == 1) if dataset.label_sets is None else np.zeros(0, np.int64)
    if len(single):
        names = ", ".join(dataset.classes[number] for number in single[:8])
        row = int(np.flatnonzero(dataset.y == single[0])[0])
        raise DataError(
            f"{len(single)} of {len(dataset.classes)} classes have fewer than 2 records",
            expected="at least one record on each side",
            found=f"1 record of {names}",
            where=f"{dataset.source}, row {row}",
            fix="remove those records or join their class with another; are these really labels of classes?",
        )


def check_finite(x: Array, dataset: Dataset, missing: bool = False) -> None:
    """Refuse records that are no numbers.

    Args:
        x: ``(n, ...)``. missing: NaN stands for a missing value and passes.

    Raises:
        DataError: with the place of the first value that is NaN or infinite.
    """
    if x.dtype.kind != "f" or np.isfinite(x).all():
        return
    bad = np.isinf(x.reshape(len(x), -1)) if missing else ~np.isfinite(x.reshape(len(x), -1))
    if not bad.any():
        return
    row = int(bad.any(1).argmax())
    column = int(bad[row].argmax())
    raise DataError(
        "features are NaN or infinite",
        found=f"{bad.sum()} values, the first {x.reshape(len(x), -1)[row, column]}",
        where=f"{dataset.source}, row {row}, column {column}",
        fix="fill the gaps in, remove those records, or take a model that takes NaN (HistGradientBoostingClassifier, "
        "a pipeline with an imputer)",
    )


def duplicates(dataset: Dataset, members: Ints, nonmembers: Ints) -> list[Note]:
    """A warning with the count of non-members whose features equal a member's; empty where there are none.

    Args:
        members, nonmembers: ``(k,)`` row numbers.
    """
    seen = set(_hashes(dataset.x[members]))
    twice = sum(digest in seen for digest in _hashes(dataset.x[nonmembers]))
    if not twice:
        return []
    return [
        Note(
            "duplicates",
            f"{twice:,} of {len(nonmembers):,} non-members have exactly the features of some member: "
            "the target has seen them, so they count as false alarms and make the leak look smaller",
        )
    ]


def _hashes(x: Array) -> list[bytes]:
    rows = np.ascontiguousarray(x.reshape(len(x), -1) + 0)  # adding 0 makes -0.0 and 0.0 the same bytes
    return [hashlib.blake2b(row.data, digest_size=16).digest() for row in rows]
