"""``load``: records by name, from a file, or from the user's own function."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from memberwise.data.build import from_object
from memberwise.data.catalogue import SOURCES, Source
from memberwise.data.checks import check_dataset
from memberwise.data.dataset import Dataset
from memberwise.data.fetch import fetch, find_folder
from memberwise.data.files import PICKLED, READERS, read_dataset
from memberwise.data.folders import read_folder
from memberwise.data.images import ImageOptions
from memberwise.errors import DataError, MemberwiseError, StudyError, did_you_mean
from memberwise.study.entrypoint import is_entrypoint, raised_at


def load(
    source: object,
    *,
    label: str | None = None,
    group: str | None = None,
    unit: str | None = None,
    progress: bool = True,
) -> Dataset:
    """The records of a source, checked.

    Args:
        source: a name out of ``SOURCES``, a .npz, .csv or .parquet file, a folder of images (``FOLDER?size=64``, see
            ``ImageOptions.of``), ``module:function`` or ``file.py:function``; from Python also ``(x, y)``, a dict of
            arrays, a DataFrame or a ``Dataset``.
        label: column (or array) of the classes; None: the source's own, ``label`` of a table, ``y`` of arrays.
        group: column (or array) by which leakage is reported.
        unit: column (or array) that says whose record it is; one unit's rows stay on one side.
        progress: show a bar on standard error while downloading.

    Raises:
        StudyError: there is no such source.
        DataError: the records cannot be read or cannot be audited.
    """
    columns = {"label": label, "group": group, "unit": unit}
    if isinstance(source, Path):
        source = str(source)
    if isinstance(source, str):
        dataset = _by_name(source, columns, progress)
    else:
        dataset = from_object(source, source="python", **columns)
    check_dataset(dataset)
    return dataset


def _by_name(source: str, columns: dict[str, str | None], progress: bool) -> Dataset:
    if not source.strip():
        raise StudyError(
            "the data source is empty", expected="a name, a file, a folder or module:function", where="data.source"
        )
    name, _, query = (source, "", "") if Path(source).exists() else source.partition("?")
    known = SOURCES.get(name)
    if known is not None and known.folder:
        return read_folder(find_folder(known), ImageOptions.of(query, source), source, columns)
    if known is None and Path(name).is_dir():
        return read_folder(Path(name), ImageOptions.of(query, source), source, columns)
    if query:
        raise StudyError(
            f"{name} is not a folder of images, which alone takes options", found=query, where="data.source"
        )
    if known is not None:
        return _named(known, columns, progress)
    if is_entrypoint(source):
        return from_object(_called(source), source=source, **columns)
    if Path(source).suffix.lower() in (*READERS, *PICKLED) or Path(source).exists():
        return read_dataset(source, **columns)
    if SOURCES.has_plugin(source):
        return from_object(_called(source), source=source, **columns)
    raise _unknown(source)


def _named(source: Source, columns: dict[str, str | None], progress: bool) -> Dataset:
    content = fetch(source, progress) if source.file else _digits()
    if source.label is None and any(columns.values()):
        flags = ", ".join(f"--{name} {column}" for name, column in columns.items() if column)
        raise StudyError(f"{source.name} has no columns to choose from", found=flags, where="data", fix="leave it out")
    dataset = from_object(
        content,
        source=source.name,
        label=columns["label"] or source.label,
        group=columns["group"],
        unit=columns["unit"],
        split=source.split,
        classes=source.class_names,
    )
    return replace(dataset, source=source.name, notes=())  # what it holds is known


def _digits() -> dict[str, object]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return {"x": (digits.images / 16).astype(np.float32), "y": digits.target}


def _called(source: str) -> object:
    function = SOURCES.look_up(source, "data.source")
    if not callable(function):
        raise StudyError(f"{source} is not a function", found=type(function).__name__, where="data.source")
    try:
        return function()
    except MemberwiseError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(
            f"{source} failed", found=f"{type(error).__name__}: {error}", where=raised_at(error, "data.source")
        ) from error


def _unknown(source: str) -> StudyError:
    return StudyError(
        f"there is no data source {source!r}",
        expected=f"one of {', '.join(SOURCES)}; a file ({', '.join(READERS)}); a folder of images; or module:function",
        where="data.source",
        fix=did_you_mean(source, SOURCES),
    )
