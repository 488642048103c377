"""Read a .csv (.tsv, .txt) as people save it: encodings, separators and decimal commas are recognised, and told."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from memberwise.errors import DataError, Note
from memberwise.types.foreign import TableColumn

# Where a frame carries what was noticed while it was read.
NOTES = "memberwise.notes"
SNIFFED = 65_536
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SPACE = " "  # R's write.table, where nothing else separates
BYTE_ORDER_MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
# What does not occur in text: control characters but for tab, line feed, form feed, return and DOS's end of file.
NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x19\x1b-\x1f]")
# What stands for a gap, as pandas has it; in a column of labels only the empty text does.
GAPS = (
    *("", " ", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
    *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
# 1,5 or 1.234,5 or 12; in a column of which some have a comma.
DECIMAL_COMMA = re.compile(r"\s*[+-]?(\d+|\d{1,3}(\.\d{3})+)?(,\d+)?([eE][+-]?\d+)?\s*")
EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n')


def read_csv(path: Path, labels: Sequence[str] = ()) -> pd.DataFrame:
    """The table in a .csv, its notes in ``attrs``.

    UTF-8, UTF-16 and UTF-32 (by their marks, UTF-16 without one too), else Windows-1252; separated by commas,
    semicolons, tabs or bars; with decimal commas where commas do not separate.

    Args:
        labels: columns in which NA, None and the like are names of classes and not gaps, unless all others are numbers.

    Raises:
        DataError: no text, no records, two lines of column names, or lines that end in a separator.
    """
    with path.open("rb") as file:
        head = file.read(SNIFFED)
    encoding = _encoding(head, path)
    try:
        frame, notes = _read(path, head, encoding, labels)
    except UnicodeDecodeError:
        if encoding.startswith("utf-16"):
            raise
        encoding = "cp1252"
        try:
            frame, notes = _read(path, head, encoding, labels)
        except UnicodeDecodeError:
            encoding = "latin-1"
            frame, notes = _read(path, head, encoding, labels)
        notes = [_encoding_note(path, encoding), *notes]
    _check_shape(frame, path)
    frame, more = _labels_as_written(frame, labels)
    frame.attrs[NOTES] = (*notes, *more)
    return frame


def notes_of(frame: object) -> tuple[Note, ...]:
    """What was noticed while a frame was read."""
    return tuple(frame.attrs.get(NOTES, ())) if isinstance(frame, pd.DataFrame) else ()


def _encoding(head: bytes, path: Path) -> str:
    for mark, name in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return name
    if b"\0" in head:  # text that is mostly ASCII has a zero in every other byte of UTF-16
        odd, even = head[1::2].count(0) * 2 / len(head), head[::2].count(0) * 2 / len(head)
        if max(odd, even) > 0.5 > 0.1 > min(odd, even):
            return "utf-16-le" if odd > even else "utf-16-be"
    if NO_TEXT.search(head):
        archive = " (a zip archive: an Excel file?)" if head.startswith(b"PK") else ""
        raise DataError(
            f"{path.name} is not what its name says",
            expected=f"a {path.suffix} file, which is text",
            found=f"bytes that are no text{archive}",
            where=str(path),
            fix="save the table as .csv or .parquet",
        )
    return "utf-8-sig"


def _encoding_note(path: Path, encoding: str) -> Note:
    return Note(
        "not-utf-8",
        f"{path.name} is not UTF-8 and was read as {'Windows-1252' if encoding == 'cp1252' else 'Latin-1'}: if names "
        "in it look wrong, save it as UTF-8",
    )


def _read(path: Path, head: bytes, encoding: str, labels: Sequence[str]) -> tuple[pd.DataFrame, list[Note]]:
    # The last character of what was sniffed may be cut in two, but the reader must still complain of wrong ones.
    text = head.decode(encoding, "ignore" if len(head) == SNIFFED else "strict")
    declaration = EXCEL_SEPARATOR.match(text)
    separator = declaration[1] if declaration else separator_of(text, whole=len(head) < SNIFFED)
    skip = 1 if declaration else 0
    reading: dict[str, Any] = {"encoding": encoding, "sep": separator, "skiprows": skip, "low_memory": False}
    names = [str(name) for name in pd.read_csv(path, nrows=0, **reading).columns]
    gaps = {name: [""] if _is_label(name, labels) else list(GAPS) for name in names}
    frame = pd.read_csv(path, keep_default_na=False, na_values=gaps, **reading)
    stripped = frame.columns.str.strip()
    if stripped.is_unique:
        frame.columns = stripped
    return (frame, []) if separator == "," else _with_decimal_commas(frame, path, labels)


def _is_label(name: object, labels: Sequence[str]) -> bool:
    return str(name).strip().lower() in {label.lower() for label in labels}


def separator_of(text: str, whole: bool) -> str:
    """The separator by which the first lines have the most, and equally many, fields; a comma where none is.

    Args:
        whole: the text is the whole file, not its beginning.
    """
    widths: dict[str, int] = {}
    for separator in (*SEPARATORS, SPACE):
        if separator == SPACE and widths:
            break
        try:
            rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]
        except csv.Error:
            continue
        rows = rows[: 21 if whole or len(rows) > 21 else -1]
        # Where the row numbers have no name, the line of names is one field shorter (R's write.table).
        even = rows and {len(row) for row in rows[1:]} <= {len(rows[0]), len(rows[0]) + 1}
        if even and len({len(row) for row in rows[1:]}) <= 1 and len(rows[0]) > 1:
            widths[separator] = len(rows[0])
    return max(widths, key=lambda separator: widths[separator]) if widths else _by_header(text)


def _by_header(text: str) -> str:
    """Where lines differ in length, what separates the names; the reader then says which line is wrong."""
    header = text.partition("\n")[0]
    return max(SEPARATORS, key=header.count)


def _with_decimal_commas(frame: pd.DataFrame, path: Path, labels: Sequence[str]) -> tuple[pd.DataFrame, list[Note]]:
    """The frame with texts such as 1,5 as numbers, and a note that names the columns."""
    changed = {}
    for name in frame.columns:
        column = frame[name]
        if _is_label(name, labels) or pd.api.types.is_numeric_dtype(column.dtype):
            continue
        texts = column.dropna().astype(str)
        if not len(texts) or not texts.str.contains(",", regex=False).any():
            continue
        if texts.map(lambda text: bool(re.search(r"\d", text)) and bool(DECIMAL_COMMA.fullmatch(text))).all():
            plain = texts.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
            changed[name] = pd.to_numeric(plain).reindex(column.index)
    if not changed:
        return frame, []
    message = f"numbers of {path.name} with a comma were read as decimal fractions: columns {', '.join(changed)}"
    return frame.assign(**changed), [Note("decimal-comma", message)]


def _check_shape(frame: pd.DataFrame, path: Path) -> None:
    if frame.empty:
        raise DataError(
            f"{path.name} is not what its name says",
            expected=f"a {path.suffix} file with records",
            found="no records",
            where=str(path),
        )
    numbers = pd.to_numeric(pd.Series(frame.columns), errors="coerce")
    if numbers.notna().all() and list(frame.columns) != [str(i) for i in range(len(frame.columns))]:
        raise DataError(
            "there is no line of column names",
            expected="names in the first line, then the records",
            found=", ".join(frame.columns[:6]),
            where=f"{path}, line 1",
            fix="put a line of names above the records",
        )
    if not frame.index.equals(pd.RangeIndex(len(frame))) and frame.iloc[:, -1].isna().all():
        raise DataError(
            "lines end in a separator which the line of column names has not",
            found=f"{frame.shape[1]} names, {frame.shape[1] + 1} values a line, of which the last are empty",
            where=str(path),
            fix="take the last separator of every line away, or add one to the line of names",
        )
    second = _second_header(frame)
    if second:
        raise DataError(
            "there are two lines of column names",
            expected="one line of names, then the records",
            found=f"{', '.join(map(str, frame.columns[:4]))} ... and below {', '.join(second[:4])} ...",
            where=f"{path}, line 2",
            fix="join them into one line, or delete one of them",
        )


def _second_header(frame: pd.DataFrame) -> list[str]:
    """The first record where it holds names: texts (or nothing) above numbers, in two columns or more."""
    texts = [str(name) for name in frame if not pd.api.types.is_numeric_dtype(frame[name].dtype)]
    if len(frame) < 3 or len(texts) < 2:
        return []
    first, rest = frame.iloc[0], frame.iloc[1:]
    above = 0
    for name in texts:
        column: TableColumn = rest[name]
        below = pd.to_numeric(column, errors="coerce")
        numbers = below.notna().sum() == column.notna().sum() > 0
        above += bool(numbers and isinstance(first[name], str) and not _is_number(first[name]))
    if above < max(2, len(frame.columns) / 2):
        return []
    return [str(value) for value in first if isinstance(value, str)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _labels_as_written(frame: pd.DataFrame, labels: Sequence[str]) -> tuple[pd.DataFrame, list[Note]]:
    """Labels such as NA and None are classes among texts, and gaps among numbers."""
    notes: list[Note] = []
    for name in [str(name) for name in frame if _is_label(name, labels)]:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            continue
        marks = column.isin(GAPS)
        values = column[~marks & column.notna()]
        if not marks.any():
            continue
        numbers = pd.to_numeric(values, errors="coerce")
        if len(values) and numbers.notna().all():
            frame = frame.assign(**{name: numbers.reindex(column.index)})
            continue
        named = ", ".join(f"{value} ({count:,} records)" for value, count in column[marks].value_counts().items())
        notes.append(
            Note(
                "class-called-missing",
                f"{named} in column {name} was taken for the name of a class; where it means that the label is not "
                "known, leave those records out",
            )
        )
    return frame, notes
