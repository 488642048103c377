from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memberwise.data import load, read_dataset
from memberwise.data.files import read_array
from memberwise.errors import DataError, MissingExtraError

X, Y = np.arange(8.0).reshape(4, 2), np.array([0, 1, 1, 0])


class Trap:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.trace,)


def test_npz_gives_the_arrays_back(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=Y, name=np.array(["p", "p", "q", "q"]))
    dataset = load(str(tmp_path / "a.npz"), unit="name")
    assert (dataset.x == X).all()
    assert (dataset.y == Y).all()
    assert dataset.units is not None
    assert dataset.units.tolist() == ["p", "p", "q", "q"]
    assert load(tmp_path / "a.npz").sha256 != dataset.sha256


def test_npz_label_names_another_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=Y, sex=np.array(["m", "f", "m", "f"]))
    assert load(str(tmp_path / "a.npz"), label="sex").classes == ("f", "m")


def test_csv_gives_the_columns_back(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\ufeffage,city,ok\n30,Bern,yes\n40,,no\n50,Wien,yes\n60,Bern,no\n", encoding="utf-8")
    dataset = load(str(path), label="ok")
    assert dataset.classes == ("no", "yes")
    assert dataset.frame is not None
    assert list(dataset.frame) == ["age", "city"]
    assert dataset.frame["city"].isna().tolist() == [False, True, False, False]


def test_parquet_equals_csv(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    frame = pd.DataFrame({"age": [1, 2, 3, 4], "city": ["a", "b", None, "a"], "label": ["u", "v", "u", "v"]})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert read_dataset(tmp_path / "a.parquet").sha256 == read_dataset(tmp_path / "a.csv").sha256
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"bad.parquet is not what its name says"):
        read_dataset(tmp_path / "bad.parquet")


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"memberwise\[parquet\]"):
        read_dataset(tmp_path / "a.parquet")


@pytest.mark.parametrize("ending", ["pkl", "pickle", "joblib", "pt", "pt2", "pth"])
def test_pickles_are_refused_and_not_opened(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    with pytest.raises(DataError, match=r"(?s)runs the code in it.*what to do: save the arrays with numpy.savez"):
        load(str(path))
    assert not (tmp_path / "trace").exists()


def test_python_objects_inside_npz_are_refused_and_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([Trap(tmp_path / "trace")], dtype=object), y=np.array([0]))
    with pytest.raises(DataError, match=r"(?s)array of Python objects.*dtype=str"):
        load(str(tmp_path / "a.npz"))
    assert not (tmp_path / "trace").exists()


def test_a_pickle_called_npz_or_npy_is_refused_and_not_opened(tmp_path: Path) -> None:
    for name in ("a.npz", "a.npy"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    with pytest.raises(DataError, match="not what its name says"):
        read_dataset(tmp_path / "a.npz")
    with pytest.raises(DataError, match="not what its name says"):
        read_array(tmp_path / "a.npy")
    assert not (tmp_path / "trace").exists()


def test_files_that_are_not_what_their_name_says(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", x=np.random.default_rng(0).random((50, 50)), y=np.zeros(50))
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "text.npz").write_text("x,y\n1,2\n")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.npz").write_bytes(whole[:9000] + bytes(100) + whole[9100:])
    np.save(tmp_path / "array.npy", X)
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with zipfile.ZipFile(tmp_path / "docx.npz", "w") as archive:
        archive.writestr("x.npy", "no array")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("a,label\n")
    (tmp_path / "ragged.csv").write_text("a,label\n1,2\n1,2,3,4\n")
    (tmp_path / "binary.csv").write_bytes(whole)
    for path in sorted(set(tmp_path.iterdir()) - {tmp_path / "whole.npz"}):
        with pytest.raises(DataError, match="is not what its name says") as caught:
            read_dataset(path)
        assert str(path) in str(caught.value)
        assert caught.value.found


def test_missing_files_folders_and_other_endings(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)no such file.*nowhere.csv"):
        load(str(tmp_path / "nowhere.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="no images in the folder"):
        load(str(tmp_path / "folder.csv"))
    (tmp_path / "a.xyz").write_text("1")
    with pytest.raises(DataError, match=r"(?s)not a kind of file that holds records.*\.npz, \.csv.*\.parquet"):
        load(str(tmp_path / "a.xyz"))


def test_an_unreadable_file_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.csv").write_text("a,label\n1,0\n")
    monkeypatch.setattr(pd, "read_csv", refuse)
    with pytest.raises(DataError, match=r"(?s)cannot be read.*Permission denied.*a.csv"):
        load(str(tmp_path / "a.csv"))
