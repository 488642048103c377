"""Readers of the public tables' formats: Purchase-100, Texas-100, Location-30 and Adult."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memberwise.data.files import broken_format, read_file
from memberwise.types.arrays import Arrays

# fmt: off
ADULT_COLUMNS = (
    "age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship", "race",
    "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income",
)
# fmt: on


def read_labelled_lines(paths: Sequence[Path]) -> Arrays:
    """Purchase-100 and Location-30: a line a record, the label (from 1, perhaps in quotes) before the features.

    Args:
        paths: one file: the text, or the .tgz that holds it.
    """
    (path,) = paths
    with _opened(path) as text:
        table = _numbers(text, path)
    if table.shape[1] < 2:
        raise broken_format(path, "label,0,1,... on every line", f"{table.shape[1]} column")
    return {"x": table[:, 1:], "y": table[:, 0]}


def read_in_order(paths: Sequence[Path]) -> Arrays:
    """Location-30 in a published order.

    Args:
        paths: the records, as ``read_labelled_lines`` takes them or as .npz, and ``x``, a permutation of their rows.
    """
    records, order = paths
    content = read_file(records) if records.suffix == ".npz" else read_labelled_lines([records])
    assert isinstance(content, dict)
    with np.load(order) as kept:
        rows = kept["x"]
    if rows.shape != (len(content["y"]),) or not np.array_equal(np.sort(rows), np.arange(len(rows))):
        raise broken_format(order, f"x, a permutation of 0..{len(content['y']) - 1}", f"{rows.shape} {rows.dtype}")
    return {name: content[name][rows] for name in ("x", "y")}


def read_texas(paths: Sequence[Path]) -> Arrays:
    """Texas-100: ``texas/100/feats`` and ``texas/100/labels`` (from 1), in the .tgz or unpacked.

    Args:
        paths: the .tgz, or the two files in this order.
    """
    feats, labels = paths if len(paths) == 2 else (paths[0], paths[0])
    with _opened(feats, "100/feats") as text:
        x = _numbers(text, feats)
    with _opened(labels, "100/labels") as text:
        y = _numbers(text, labels)
    if y.shape != (len(x), 1):
        raise broken_format(labels, f"{len(x)} labels, one a line", f"{y.shape[0]} lines of {y.shape[1]}")
    return {"x": x, "y": y[:, 0]}


def read_adult(paths: Sequence[Path]) -> pd.DataFrame:
    """Adult: ``adult.data`` and ``adult.test`` as one table with a column ``split``.

    The test file's comment line and the full stops after its labels are removed; ``?`` stays a value.
    """
    parts = []
    for path, split in zip(paths, ("train", "test"), strict=True):
        try:
            part = pd.read_csv(
                path, names=list(ADULT_COLUMNS), comment="|", skipinitialspace=True, keep_default_na=False
            )
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise broken_format(path, "15 values a line", error) from error
        if not pd.api.types.is_integer_dtype(part["age"]) or not part["income"].str.contains("50K").all():
            raise broken_format(path, "15 values a line, from the age to <=50K or >50K", "something else")
        parts.append(part.assign(income=part["income"].str.removesuffix("."), split=split))
    return pd.concat(parts, ignore_index=True)


def _numbers(text: IO[bytes], path: Path) -> NDArray[np.uint8]:
    """A table of small integers between commas; the bytes suffice for labels up to 100 and features of 0 and 1."""
    try:
        return pd.read_csv(text, header=None, dtype=np.uint8).to_numpy()
    except (ValueError, OverflowError, pd.errors.ParserError) as error:
        raise broken_format(path, "small integers between commas", error) from error


@contextmanager
def _opened(path: Path, ending: str = "") -> Iterator[IO[bytes]]:
    """The text itself, or the first file in the .tgz whose name ends so. Nothing is unpacked to disk."""
    if not tarfile.is_tarfile(path):
        with path.open("rb") as text:
            yield text
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(ending) and not Path(member.name).name.startswith("."):
                    inside = archive.extractfile(member)
                    if inside is not None:
                        yield inside
                        return
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise broken_format(path, "a .tgz archive", error) from error
    raise broken_format(path, f"a file {ending or 'of records'} inside", "none")
