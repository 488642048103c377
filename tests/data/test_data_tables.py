"""Tables as people save them."""

from __future__ import annotations

import csv
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memberwise.data import encode, from_object, load
from memberwise.data.files import read_array, read_dataset, read_file
from memberwise.data.tables import notes_of
from memberwise.errors import DataError, leave_out
from memberwise.study.reading import apply_settings

ROWS = pd.DataFrame(
    {
        "größe": [1.5, 2.25, 3.0, 4.125, 1234.5],
        "ort": ["Köln", "Zürich", "Bern, Stadt", "a;b", "Köln"],
        "n": [3, 1, 2, 5, 4],
        "label": ["ja", "nein", "ja", "nein", "ja"],
    }
)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_encodings_and_separators(separator: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    ROWS.to_csv(path, index=False, sep=separator, encoding=encoding)
    read = read_file(path)
    pd.testing.assert_frame_equal(read, ROWS, check_dtype=False)  # type: ignore[arg-type]
    assert [code for code, _ in notes_of(read)] == (["not-utf-8"] if encoding == "latin-1" else [])


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    ROWS.to_csv(path, index=False, sep=separator, decimal=",")
    dataset = load(str(path))
    assert dataset.frame is not None
    pd.testing.assert_frame_equal(dataset.frame, ROWS.drop(columns="label"), check_dtype=False)
    ((code, message),) = dataset.notes
    assert (code, message.endswith("columns größe")) == ("decimal-comma", True)


def test_thousands_in_points_before_a_decimal_comma(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a;label\n1.234,5;x\n-2,25;y\n7;x\n1.000.000,0;y\n")
    assert read_file(tmp_path / "a.csv")["a"].tolist() == [1234.5, -2.25, 7, 1e6]


def test_texts_with_commas_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a;label\n1,5;x\nabc,d;y\n,;x\n2,5;y\n")
    assert read_file(tmp_path / "a.csv")["a"].tolist() == ["1,5", "abc,d", ",", "2,5"]


def test_numbers_with_commas_between_commas_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [f"{i},{i:03}" for i in range(1, 41)], "label": [0, 1] * 20})
    frame.to_csv(tmp_path / "a.csv", index=False)
    dataset = load(str(tmp_path / "a.csv"))
    with pytest.raises(DataError, match=r"(?s)written with commas.*'1,001'.*column a, row 0.*write 1234.5"):
        encode(dataset, np.arange(40))


def test_excels_first_line_and_spaces_around_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=;\na; label\n1;0\n2;1\n")
    assert read_file(tmp_path / "a.csv")["label"].tolist() == [0, 1]


def test_row_names_without_a_name_as_r_writes_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"a","label"\n"1",5,0\n"2",6,1\n"3",5,1\n"4",6,0\n')
    dataset = load(str(tmp_path / "a.csv"))
    assert dataset.frame is not None
    assert dataset.frame.to_dict("list") == {"a": [5, 6, 5, 6]}


@pytest.mark.parametrize("separator", [" ", "\t"])
@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.TXT"])
def test_tables_by_the_names_r_and_excel_give_them(separator: str, name: str, tmp_path: Path) -> None:
    lines = ROWS.to_csv(sep=separator, quoting=csv.QUOTE_NONNUMERIC).splitlines()
    lines[0] = lines[0].split(separator, 1)[1]
    (tmp_path / name).write_text("\n".join(lines) + "\n", "utf-8")
    dataset = load(str(tmp_path / name))
    pd.testing.assert_frame_equal(dataset.frame, ROWS.drop(columns="label"), check_dtype=False)  # type: ignore[arg-type]


def test_a_wrong_label_is_told_with_the_right_one(tmp_path: Path) -> None:
    ROWS.rename(columns={"label": "Urteil"}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"did you mean Urteil\?"):
        load(str(tmp_path / "a.csv"), label="urteil")


def test_columns_of_any_name_can_be_left_out_as_is_said() -> None:
    assert leave_out("age") == "--drop age"
    assert shlex.split(leave_out("CRP mg/l")) == ["--drop", "CRP mg/l"]
    for name in ("CRP, mg/l", "an 'a', a \"b\""):
        flag, setting = shlex.split(leave_out(name))
        assert (flag, apply_settings({}, [setting])) == ("--set", {"data": {"drop": [name]}})


@pytest.mark.parametrize("mark", ["NA", "None", "null", "nan", "N/A"])
def test_a_class_may_be_called_like_a_gap(mark: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2, None, 4], "b": ["x", mark, "x", "y"], "label": ["no", mark, "no", mark]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    dataset = load(str(tmp_path / "a.csv"))
    assert dataset.classes == tuple(sorted([mark, "no"]))
    ((code, message),) = dataset.notes
    assert (code, message.startswith(f"{mark} (2 records) in column label")) == ("class-called-missing", True)
    assert dataset.frame is not None
    assert dataset.frame["b"].isna().tolist() == [False, True, False, False]
    assert dataset.frame["a"].isna().tolist() == [False, False, True, False]


@pytest.mark.parametrize(("labels", "row"), [(["0", "1", "NA", "1"], 2), (["a", "", "a", "b"], 1)])
def test_a_label_is_missing_among_numbers_or_where_it_is_empty(labels: list[str], row: int, tmp_path: Path) -> None:
    pd.DataFrame({"a": range(4), "label": labels}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=f"(?s)labels are missing.*1 of 4, the first in row {row}"):
        load(str(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("who,who,lab\nage,sex,label\n1,0,0\n2,1,1\n3,0,1\n", "two lines of column names.*who, who.1, lab.*age, sex"),
        ("a,b,label\n1,2,0,\n3,4,1,\n", "lines end in a separator.*3 names, 4 values"),
        ("1.5,2,0\n3,4,1\n5,6,0\n", "no line of column names.*1.5, 2, 0.*line 1"),
        ("a:b:label\n1:2:0\n3:4:1\n", "no label column.*separated by commas, semicolons or tabs"),
        ("a,b\n1,2\n1,2,3,4\n", "not what its name says.*[Ee]xpected 2 fields in line 3, saw 4"),
        ("PK\x03\x04\x00\x00", "bytes that are no text .a zip archive: an Excel file"),
    ],
)
def test_tables_that_cannot_be_read_as_they_are(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode())
    with pytest.raises(DataError, match=f"(?s){message}"):
        load(str(tmp_path / "a.csv"))


def test_numbered_columns_are_names_too(tmp_path: Path) -> None:
    pd.DataFrame(np.arange(12).reshape(4, 3) % 2).to_csv(tmp_path / "a.csv", index=False)
    assert load(str(tmp_path / "a.csv"), label="1").records == 4


def test_headers_that_claim_more_than_the_file_holds(tmp_path: Path) -> None:
    for claimed in (b"(5, 2)", b"(99999999999, 99999999999)", b"(99999999999999999999, 2)"):
        header = np.lib.format.magic(1, 0)
        text = b"{'descr': '<f8', 'fortran_order': False, 'shape': " + claimed + b", }"
        text += b" " * (118 - len(text)) + b"\n"
        member = header + len(text).to_bytes(2, "little") + text + np.zeros(8).tobytes()
        with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
            archive.writestr("x.npy", member)
        (tmp_path / "b.npy").write_bytes(member)
        with pytest.raises(DataError, match=r"(?s)x.npy claims to be larger than it is.*64 bytes of numbers"):
            read_dataset(tmp_path / "b.npz")
        with pytest.raises(DataError, match=r"(?s)b.npy claims to be larger than it is"):
            read_array(tmp_path / "b.npy")


def test_frames_with_other_columns_and_lists_of_unequal_length() -> None:
    one, other = pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]})
    with pytest.raises(DataError, match=r"(?s)same columns.*a, b"):
        from_object({"x_train": one, "x_test": other, "y_train": [0, 1], "y_test": [0, 1]}, source="s")
    with pytest.raises(DataError, match=r"(?s)x is no array.*list.*inhomogeneous"):
        from_object(([[1, 2], [3]], [0, 1]), source="s")
    with pytest.raises(DataError, match=r"(?s)labels do not fit.*expected: 2.*found: 3"):
        from_object((one, [0, 1, 0]), source="s")


def test_what_is_masked_is_missing() -> None:
    masked = np.ma.masked_array(np.ones((4, 2)), mask=np.arange(8).reshape(4, 2) == 5)
    dataset = from_object((masked, [0, 1, 0, 1]), source="s")
    assert np.isnan(dataset.x).sum() == 1
    assert np.isnan(dataset.x[2, 1])
