"""Folders of images: the class is the sub-folder, or stands in a table beside the images."""

from __future__ import annotations

import filecmp
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memberwise.data.dataset import Dataset
from memberwise.data.files import read_file
from memberwise.data.frames import as_units
from memberwise.data.images import ENDINGS, ImageOptions, read_images
from memberwise.data.labels import number_labels, texts
from memberwise.errors import DataError, StudyError, did_you_mean
from memberwise.types.arrays import Array, Mask
from memberwise.types.foreign import TableColumn

# Sub-folders with these names alone are parts of the data, pooled in this order, and their sub-folders the classes.
PARTS = ("train", "val", "valid", "validation", "test")
# What the systems leave behind.
JUNK = ("thumbs.db", "desktop.ini")
# Tables that are known by name, with their columns of classes and of units. HAM10000 (Tschandl, Rosendahl, Kittler,
# Scientific Data 5:180161, 2018) shows many a lesion in several images.
TABLES: dict[str, tuple[str, str | None]] = {
    "HAM10000_metadata.csv": ("dx", "lesion_id"),
    "metadata.csv": ("label", None),
}


@dataclass(frozen=True)
class Listed:
    """Images and what is known of them: arrays of equal length, the columns by the flag that names them."""

    paths: NDArray[np.object_]
    labels: Array
    test: Mask
    columns: Mapping[str, tuple[str, TableColumn]]


def read_folder(folder: Path, options: ImageOptions, source: str, columns: Mapping[str, str | None]) -> Dataset:
    """The images of a folder, in sorted order (or in the order of its table).

    Args:
        columns: ``label``, ``group``, ``unit`` of a table in the folder, None for its own (see ``TABLES``).
        source: as the user named it.

    Raises:
        DataError: no images, files that are none, broken ones, several sizes, or a table that does not fit them.
        StudyError: columns are named, and there is no table.
    """
    table = _table(folder)
    listed = _by_table(folder, table, columns) if table else _by_folder(folder, columns)
    many = Counter(listed.labels.tolist())
    keep = np.array([many[label] >= options.least for label in listed.labels.tolist()], bool)
    if not keep.any():
        raise DataError(
            f"no class has {options.least} images", found=f"{max(many.values())} at most", where=str(folder)
        )
    y, classes = number_labels(listed.labels[keep], where=f"{source}, {table.name if table else 'sub-folders'}")
    kept = {flag: (name, column[keep]) for flag, (name, column) in listed.columns.items()}
    group, unit = kept.get("group"), kept.get("unit")
    test = np.flatnonzero(listed.test[keep])
    return Dataset(
        x=read_images(listed.paths[keep].tolist(), options, source),
        y=y,
        classes=classes,
        source=source,
        test=test if len(test) else None,
        groups=None if group is None else texts(group[1].astype(object).where(group[1].notna(), "(missing)")),
        units=None if unit is None else as_units(unit[1], f"{source}, column {unit[0]}"),
        group=None if group is None else group[0],
        unit=None if unit is None else unit[0],
    )


def _by_folder(folder: Path, columns: Mapping[str, str | None]) -> Listed:
    """Every sub-folder is a class; where they are called train, test and so on, every sub-folder of those."""
    flags = ", ".join(f"--{flag} {column}" for flag, column in columns.items() if column)
    if flags:
        raise StudyError("the folder has no table with columns to choose from", found=flags, where=str(folder))
    inside = {path.name for path in _sorted(folder) if path.is_dir()}
    parts = [folder / name for name in PARTS if name in inside] if {"train"} <= inside <= set(PARTS) else [folder]
    paths, labels, test = [], [], []
    for part in parts:
        for path in _files(part):
            below = path.relative_to(part)
            if len(below.parts) == 1 and path.suffix.lower() not in ENDINGS:
                continue  # a licence or a note beside the classes
            if len(below.parts) == 1 or path.suffix.lower() not in ENDINGS:
                raise DataError(
                    f"{path.name} is {'in no class' if len(below.parts) == 1 else 'not an image'}",
                    expected="FOLDER/CLASS/IMAGE, images being " + ", ".join(ENDINGS),
                    where=str(path),
                    fix="move it, or put a table metadata.csv with columns of files and labels into the folder",
                )
            paths.append(path)
            labels.append(below.parts[0])
            test.append(part.name == "test" and len(parts) > 1)
    if not paths:
        raise DataError("there are no images in the folder", expected="FOLDER/CLASS/IMAGE", where=str(folder))
    return Listed(_objects(paths), np.array(labels, str), np.array(test, bool), {})


def _by_table(folder: Path, path: Path, columns: Mapping[str, str | None]) -> Listed:
    label, unit = TABLES.get(path.name, ("label", None))
    table = cast("pd.DataFrame", read_file(path, labels=(columns["label"] or label,)))
    names = {"label": columns["label"] or label, "group": columns["group"], "unit": columns["unit"] or unit}
    for flag, name in names.items():
        if name is not None and name not in table:
            raise DataError(
                f"there is no {flag} column {name!r}",
                expected="one of " + ", ".join(map(str, table.columns)),
                where=str(path),
                fix=did_you_mean(name, map(str, table.columns)) or f"name it with --{flag} COLUMN",
            )
    chosen = {flag: (name, table[name]) for flag, name in names.items() if name is not None}
    labels = chosen.pop("label")[1].to_numpy()
    return Listed(_named_images(folder, path, table), labels, np.zeros(len(table), bool), chosen)


def _named_images(folder: Path, path: Path, table: pd.DataFrame) -> NDArray[np.object_]:
    """The image of every row: by the column which names most of them, as path or name, with ending or not."""
    known: dict[str, list[Path]] = defaultdict(list)
    for image in _files(folder):
        if image.suffix.lower() in ENDINGS:
            for key in {image.relative_to(folder).as_posix(), image.name, image.stem}:
                known[key].append(image)
    names = {column: table[column].astype(str) for column in table}
    column = max(names, key=lambda column: len(known.keys() & set(names[column])))
    missing = np.flatnonzero(~names[column].isin(known.keys()))
    if len(missing):
        none = len(missing) == len(table)
        raise DataError(
            f"no column of {path.name} names images of the folder" if none else "images of the table are not there",
            expected="a column of file names, with or without ending",
            found="columns " + ", ".join(map(str, table.columns))
            if none
            else f"{len(missing):,} of {len(table):,} in column {column}, the first {names[column][missing[0]]}",
            where=f"{path}, row {missing[0]}",
            fix="take the table away if the sub-folders are the classes" if none else None,
        )
    return _objects([_only(known[name], name, path) for name in names[column]])


def _only(images: Sequence[Path], name: str, table: Path) -> Path:
    """The first, where all are copies of it."""
    for other in images[1:]:
        if not filecmp.cmp(images[0], other, shallow=False):
            raise DataError(
                f"{name} stands for several images",
                found=f"{images[0]} and {other}",
                where=str(table),
                fix="write their paths into the table",
            )
    return images[0]


def _table(folder: Path) -> Path | None:
    tables = [path for path in _sorted(folder) if path.is_file() and path.suffix.lower() == ".csv"]
    known = [path for name in TABLES for path in tables if path.name == name]
    if len(tables) > 1 and not known:
        raise DataError(
            "the folder holds several tables",
            found=", ".join(path.name for path in tables),
            where=str(folder),
            fix="keep one, or name the one that lists the images metadata.csv",
        )
    return next(iter(known + tables), None)


def _files(folder: Path) -> Iterator[Path]:
    """All files below, sorted; no hidden ones."""
    for path in _sorted(folder):
        if path.is_dir():
            yield from _files(path)
        elif path.name.lower() not in JUNK:
            yield path


def _sorted(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))
    except OSError as error:
        raise DataError("the folder cannot be read", found=str(error), where=str(folder)) from error


def _objects(paths: Sequence[Path]) -> NDArray[np.object_]:
    return np.fromiter(paths, object, len(paths))
