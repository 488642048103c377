"""Arrays by name (``x``, ``y``; or ``x_train`` and so on) become a ``Dataset``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from memberwise.data.chosen import flat_columns
from memberwise.data.dataset import Dataset
from memberwise.data.features import Features, array_of, as_features
from memberwise.data.frames import as_units, from_frame
from memberwise.data.label_sets import LabelSets, label_set_notes, read_label_sets
from memberwise.data.labels import number_labels, own_labels, texts
from memberwise.data.layout import WIDER, Input, Layout, gathered, pack
from memberwise.errors import DataError
from memberwise.types.arrays import Array, Ints


def from_mapping(
    arrays: Mapping[str, object],
    source: str,
    label: str | None,
    group: str | None,
    unit: str | None,
    classes: Sequence[str] | None,
) -> Dataset:
    """The arrays ``(n, ...)`` as a ``Dataset``; x may be a table, or a mapping of several inputs.

    Args:
        source: how the user named it. label, group, unit: keys (label: None is ``y``). classes: names, where they are
            fixed already; else ``classes`` of the mapping.

    Raises:
        DataError: a part is missing, is not numbers, or the lengths differ.
    """
    arrays = gathered(arrays)
    x_parts, labels = _parts(arrays, "x", source), _joined(arrays, label or "y", source)
    if classes is None and "classes" in arrays:
        classes = list(texts(arrays["classes"]))
    if isinstance(x_parts[0], pd.DataFrame):
        frame = flat_columns(_one_frame(x_parts, source))
        _same_length("labels", labels, len(frame), source)
        if labels.ndim == 2 and labels.shape[1] > 1:
            named = [f"\0y{i}" for i in range(labels.shape[1])] if classes is None else list(map(str, classes))
            columns = dict(zip(named, labels.T, strict=True))
            dataset = from_frame(frame.assign(**columns), source, named, group, unit, None, None)
            if classes is None and dataset.label_sets is not None:
                numbered = replace(dataset.label_sets, names=tuple(map(str, range(len(named)))))
                dataset = replace(dataset, label_sets=numbered, classes=numbered.classes)
            return replace(dataset, label=label, test=_test_rows(arrays, x_parts))
        dataset = from_frame(frame.assign(**{"\0y": labels}), source, "\0y", group, unit, None, classes)
        return replace(dataset, label=label, test=_test_rows(arrays, x_parts))
    x, layout, features = _read_features(x_parts, source)
    sets: LabelSets | None = None
    if labels.ndim == 2 and labels.shape[1] > 1:
        y, sets = read_label_sets(labels, classes, source)
        names = sets.classes
    else:
        y, names = number_labels(labels, classes, where=source)
    groups = None if group is None else texts(_joined(arrays, group, source))
    units = None if unit is None else as_units(_joined(arrays, unit, source), f"{source}, {unit}")
    for name, values in (("labels", y), ("groups", groups), ("units", units)):
        _same_length(name, values, len(x), source)
    return Dataset(
        x,
        y,
        names,
        source,
        _test_rows(arrays, x_parts),
        groups,
        units,
        label=label,
        group=group,
        unit=unit,
        notes=(*(() if features is None else features.notes), *(() if sets is None else label_set_notes(sets, y))),
        steps=() if features is None else features.steps,
        label_values=None if sets is not None else own_labels(labels, y, names),
        layout=layout,
        label_sets=sets,
    )


def _read_features(parts: Sequence[object], source: str) -> tuple[Array, Layout | None, Features | None]:
    """Records of several inputs, side by side, or the features of one array; and how a model may get them back."""
    inputs = [part for part in parts if isinstance(part, Mapping)]
    if inputs:
        if len(inputs) < len(parts):
            raise DataError("one part of the records has several inputs and the other has not", where=source)
        x, layout = pack(inputs, source)
        return x, layout, None
    features = as_features(parts, source)
    if features.whole is None:
        return features.x, None, features
    whole = WIDER.get(features.whole, features.whole)
    return features.x, Layout((Input("", tuple(features.x.shape[1:]), whole),)), features


def _same_length(name: str, values: Array | None, records: int, source: str) -> None:
    if values is not None and len(values) != records:
        raise DataError(f"{name} do not fit the records", expected=f"{records}", found=f"{len(values)}", where=source)


def _one_frame(parts: Sequence[object], source: str) -> pd.DataFrame:
    """The parts one under another; they must have the same columns."""
    frames = [part for part in parts if isinstance(part, pd.DataFrame)]
    columns: list[set[object]] = [{str(name) for name in frame.columns} for frame in frames]
    differ = set.union(*columns) - set.intersection(*columns) if len(frames) == len(parts) else {"x"}
    if differ:
        raise DataError(
            "x_train and x_test do not have the same columns", found=", ".join(sorted(map(str, differ))), where=source
        )
    return pd.concat(frames, ignore_index=True)


def _parts(arrays: Mapping[str, object], name: str, source: str) -> list[object]:
    """``[x]``, or ``[x_train, x_test]`` where the mapping has parts."""
    keys = [name] if name in arrays else [f"{name}_{part}" for part in ("train", "test") if f"{name}_{part}" in arrays]
    if not keys:
        sparse = {"indices", "indptr", "shape"} <= set(arrays)
        raise DataError(
            f"there is no array {name!r}",
            expected=f"{name}, or {name}_train and {name}_test",
            found=", ".join(str(key) for key in arrays) or "nothing",
            where=source,
            fix="this is a sparse matrix as scipy saves it: numpy.savez(FILE, x=matrix.toarray(), y=labels)"
            if sparse
            else "several inputs: x = {'input_ids': ..., 'attention_mask': ...}, in a file x.input_ids ...",
        )
    return [arrays[key] for key in keys]


def _joined(arrays: Mapping[str, object], name: str, source: str) -> Array:
    parts = [np.atleast_1d(array_of(part, name, source)) for part in _parts(arrays, name, source)]
    if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
        raise DataError(
            f"parts of {name} differ in shape", found=" and ".join(str(p.shape) for p in parts), where=source
        )
    return np.concatenate(parts)


def _test_rows(arrays: Mapping[str, object], x_parts: Sequence[object]) -> Ints | None:
    records = sum(map(_length, x_parts))
    test = _length(x_parts[-1]) if "x" not in arrays and "x_test" in arrays else 0
    return np.arange(records - test, records) if test else None


def _length(part: Any) -> int:
    part = next(iter(part.values())) if isinstance(part, Mapping) else part
    return int(part.shape[0]) if hasattr(part, "shape") else len(part)
