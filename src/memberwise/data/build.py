"""Arrays, mappings and frames become a ``Dataset``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from memberwise.data.chosen import flat_columns
from memberwise.data.dataset import Dataset
from memberwise.data.features import Features, array_of, as_features, dense_columns, is_sparse
from memberwise.data.groups import crossed, group_columns
from memberwise.data.label_sets import LabelSets, label_set_notes, read_label_sets
from memberwise.data.labels import number_labels, own_labels, texts
from memberwise.data.layout import WIDER, Input, Layout, gathered, pack
from memberwise.data.medmnist import from_medmnist, is_medmnist
from memberwise.data.tables import notes_of
from memberwise.errors import DataError
from memberwise.types.arrays import Array, Ints


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
        return _from_frame(data, source, label, group, unit, split, classes)
    if isinstance(data, Mapping):
        if is_medmnist(data):
            dataset = _from_mapping(from_medmnist(data, source), source, label, group, unit, classes)
            return replace(dataset, notes=())  # its format says that they are images
        return _from_mapping(data, source, label, group, unit, classes)
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


def _from_frame(
    frame: pd.DataFrame,
    source: str,
    label: str | Sequence[str] | None,
    group: str | None,
    unit: str | None,
    split: str | None,
    classes: Sequence[str] | None,
) -> Dataset:
    notes = notes_of(frame)
    frame = flat_columns(frame)
    if not frame.columns.is_unique:
        twice = ", ".join(sorted(set(frame.columns[frame.columns.duplicated()])))
        raise DataError("two columns have the same name", found=twice, where=source)
    frame = dense_columns(frame, source)
    group, unit = (None if c is None else str(c) for c in (group, unit))
    labels = _label_columns(label, list(frame.columns))
    by = [] if group is None else group_columns(group, list(frame.columns))
    for column, flag in (*((name, "label") for name in labels), *((name, "group") for name in by), (unit, "unit")):
        if column is not None and column not in frame:
            raise DataError(
                f"there is no {flag} column {column!r}",
                expected="one of " + ", ".join(frame.columns),
                where=source,
                fix=f"name it with --{flag} COLUMN" + _one_column(frame),
            )
    test = None
    if split is not None:
        frame = frame.sort_values(split, key=lambda part: part == "test", kind="stable")
        test = np.flatnonzero(frame[split] == "test")
    frame = frame.reset_index(drop=True)
    sets = None
    if len(labels) > 1:
        y, sets = read_label_sets(frame[labels].to_numpy(), labels, f"{source}, columns {', '.join(labels)}")
        names, notes = sets.classes, (*notes, *label_set_notes(sets, y))
    else:
        y, names = number_labels(frame[labels[0]].to_numpy(), classes, where=f"{source}, column {labels[0]}")
    groups = None if group is None else crossed(frame, by)
    # An identifier is no feature: it would name the record. The group stays one, as the model's owner has it.
    features = frame.drop(columns=[*labels, *(c for c in (unit, split) if c is not None)])
    if not len(features.columns) or not len(frame):
        raise DataError("no records or no feature columns are left", found=f"{features.shape}", where=source)
    return Dataset(
        x=np.zeros((len(frame), 0), dtype=np.float32),
        y=y,
        classes=names,
        source=source,
        test=test,
        groups=groups,
        units=None if unit is None else as_units(frame[unit], f"{source}, column {unit}"),
        frame=features,
        label=",".join(labels),
        group=group,
        unit=unit,
        notes=notes,
        label_values=None if sets is not None else own_labels(frame[labels[0]].to_numpy(), y, names),
        label_sets=sets,
    )


def _label_columns(label: str | Sequence[str] | None, columns: Sequence[str]) -> list[str]:
    """The column of the class, or the columns of several binary labels, written with commas."""
    if not isinstance(label, str) and label:
        return [str(name) for name in label]
    name = str(label or "label")
    several = [part.strip() for part in name.split(",") if part.strip()]
    return [name] if name in columns or len(several) < 2 else several


def _one_column(frame: pd.DataFrame) -> str:
    """A further hint where the whole table is one column."""
    return "; are its columns separated by commas, semicolons or tabs?" if len(frame.columns) == 1 else ""


def _from_mapping(
    arrays: Mapping[str, object],
    source: str,
    label: str | None,
    group: str | None,
    unit: str | None,
    classes: Sequence[str] | None,
) -> Dataset:
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
            dataset = _from_frame(frame.assign(**columns), source, named, group, unit, None, None)
            if classes is None and dataset.label_sets is not None:
                numbered = replace(dataset.label_sets, names=tuple(map(str, range(len(named)))))
                dataset = replace(dataset, label_sets=numbered, classes=numbered.classes)
            return replace(dataset, label=label, test=_test_rows(arrays, x_parts))
        dataset = _from_frame(frame.assign(**{"\0y": labels}), source, "\0y", group, unit, None, classes)
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


def as_units(values: object, where: str) -> Array:
    """Whose record each is, as ``(n,)`` texts; none may be missing."""
    missing = np.flatnonzero(pd.isna(np.asarray(values)))
    if len(missing):
        raise DataError("it is not said whose record this is", found=f"an empty unit in row {missing[0]}", where=where)
    return texts(values)
