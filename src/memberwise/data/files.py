"""Read a user's file: .npz, .csv (.tsv, .txt) or .parquet. Nothing is ever unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from memberwise.data.build import from_object
from memberwise.data.dataset import Dataset
from memberwise.data.npz_sizes import check_sizes
from memberwise.data.tables import read_csv
from memberwise.errors import DataError, MemberwiseError, MissingExtraError
from memberwise.types.arrays import Array, Arrays

Content = Arrays | pd.DataFrame

PICKLED = (".pkl", ".pickle", ".joblib", ".pt", ".pt2", ".pth")


def read_dataset(
    path: Path | str,
    label: str | None = None,
    group: str | None = None,
    unit: str | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """The data set in a file (see ``from_object`` for what it must hold).

    Raises:
        DataError: no such file, not readable, not what its name says, or not a data set.
        MissingExtraError: a .parquet file without pyarrow.
    """
    content = read_file(path, labels=(label or "label",))
    return from_object(content, source=str(path), label=label, group=group, unit=unit, classes=classes)


def read_file(path: Path | str, labels: Sequence[str] = ()) -> Content:
    """The arrays of a .npz, or the table in a .csv (.tsv, .txt) or .parquet, as they are.

    Args:
        labels: columns of a .csv in which NA and None are names of classes.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in PICKLED:
        raise DataError(
            f"{suffix} files are not opened, because opening one runs the code in it",
            where=str(path),
            fix="save the arrays with numpy.savez(FILE, x=x, y=y), or the table as .csv or .parquet",
        )
    if suffix not in READERS:
        raise DataError(
            f"{path.name} is not a kind of file that holds records",
            expected=", ".join(READERS),
            found=suffix or "no ending",
            where=str(path),
        )
    if not path.is_file():
        raise DataError("there is no such file", where=str(path))
    try:
        return read_csv(path, labels) if suffix in TABLES else READERS[suffix](path)
    except MemberwiseError:
        raise
    except OSError as error:
        raise DataError("the file cannot be read", found=str(error), where=str(path)) from error
    except MemoryError as error:
        raise _too_large(path, error) from error
    except Exception as error:  # whatever a reader says of a broken file, the fault is the file's
        what = f"a {suffix} file" + (" with a line of column names" if suffix in TABLES else "")
        raise _not_a(what, path, error) from error


def read_array(path: Path) -> Array:
    """The one array of a .npy file, ``(n, ...)``."""
    try:
        check_sizes(path)
        array = np.load(path, allow_pickle=False)
    except MemberwiseError:
        raise
    except OSError as error:
        raise DataError("the file cannot be read", found=str(error), where=str(path)) from error
    except MemoryError as error:
        raise _too_large(path, error) from error
    except Exception as error:
        raise _not_a("a .npy file of numbers", path, error) from error
    if not isinstance(array, np.ndarray):
        raise _not_a("a .npy file", path, "an archive of arrays")
    return array


def _read_npz(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):
        raise _not_a("an .npz file", path, "no zip archive, or one that is cut off")
    try:
        check_sizes(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except MemberwiseError:
        raise
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        if "allow_pickle" in str(error):
            raise DataError(
                "an array of Python objects is not opened, because opening one runs the code in it",
                where=str(path),
                fix="save numbers, or texts of fixed width: numpy.asarray(names, dtype=str)",
            ) from error
        raise _not_a("an .npz file", path, error) from error
    other = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if other:
        raise _not_a("an .npz file", path, f"{', '.join(other)} in it, which is no array")
    return arrays


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError.of("pyarrow", "parquet", f"reading {path.name}") from error
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except (pyarrow.ArrowException, ValueError) as error:
        raise _not_a("a .parquet file", path, error) from error


# Text tables by their usual names: R's and Excel's own; a .txt in a role's place holds row numbers instead.
TABLES = (".csv", ".tsv", ".txt")
READERS: dict[str, Callable[[Path], Content]] = {
    ".npz": _read_npz,
    **dict.fromkeys(TABLES, read_csv),
    ".parquet": _read_parquet,
}


def broken_format(path: Path, expected: str, fault: object) -> DataError:
    """The error for a public file that does not have its source's format."""
    return _error(f"{path.name} does not have the format of its source", expected, fault, path)


def _too_large(path: Path, error: BaseException) -> DataError:
    return DataError("the file does not fit into memory", found=str(error), where=str(path), fix="save fewer records")


def _not_a(what: str, path: Path, fault: object) -> DataError:
    return _error(f"{path.name} is not what its name says", what, fault, path)


def _error(problem: str, expected: str, fault: object, path: Path) -> DataError:
    first_line = next(iter(str(fault).splitlines()), type(fault).__name__)
    return DataError(problem, expected=expected, found=first_line, where=str(path))
