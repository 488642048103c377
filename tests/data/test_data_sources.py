from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memberwise.data import SOURCES, load
from memberwise.errors import DataError, StudyError

CODE = """
import numpy as np
import pandas as pd

def pair():
    return np.arange(8.0).reshape(4, 2), [0, 1, 0, 1]

def frame():
    return pd.DataFrame({"age": [1, 2, 3, 4], "ok": ["n", "y", "n", "y"]})

def mapping():
    return {"x_train": np.zeros((2, 2)), "y_train": [0, 1], "x_test": np.ones((2, 2)), "y_test": [0, 1]}

def fails():
    raise KeyError("lost")

def number():
    return 3

table = [1]
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_records_of_a_test.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return str(tmp_path / "own_records_of_a_test.py")


def test_a_function_in_a_file_or_module(code: str) -> None:
    assert load(f"{code}:pair").y.tolist() == [0, 1, 0, 1]
    assert load("own_records_of_a_test:pair").sha256 == load(f"{code}:pair").sha256
    assert load(f"{code}:frame", label="ok").classes == ("n", "y")
    mapping = load(f"{code}:mapping")
    assert mapping.test is not None
    assert mapping.test.tolist() == [2, 3]
    assert mapping.source == f"{code}:mapping"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("own_records_of_a_test:nothing", StudyError, "holds no nothing"),
        ("own_records_of_a_test:table", StudyError, "not a function.*found: list"),
        ("own_records_of_a_test:fails", DataError, "failed.*KeyError: 'lost'"),
        ("own_records_of_a_test:number", DataError, "not a data set.*found: int"),
        ("own_records_of_a_test:frame", DataError, "no label column 'label'.*age, ok"),
        ("nowhere_at_all:f", StudyError, "no module nowhere_at_all"),
        ("nowhere.py:f", StudyError, "nowhere.py does not exist"),
    ],
)
def test_a_function_that_does_not_work(code: str, name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        load(name)


def test_an_unknown_name_gets_close_matches() -> None:
    with pytest.raises(
        StudyError, match=r"(?s)no data source 'cifar'.*one of digits, mnist.*did you mean cifar10"
    ) as caught:
        load("cifar")
    assert caught.value.exit_code == 2
    with pytest.raises(StudyError) as caught:
        load("zzzzzz")
    assert caught.value.fix is None


def test_columns_of_a_source_without_columns_are_refused() -> None:
    with pytest.raises(StudyError, match=r"(?s)digits has no columns.*--group sex"):
        load("digits", group="sex")


def test_python_objects_are_loaded_and_checked() -> None:
    x, y = np.zeros((4, 2)), np.array([0, 0, 1, 1])
    assert load((x, y)).records == 4
    assert load({"x": x, "y": y}).records == 4
    frame = pd.DataFrame({"a": [1, 2, 3, 4], "d": list("uvuv")})
    dataset = load(frame, label="d")
    assert load(dataset) is dataset
    with pytest.raises(DataError, match="1 of 2 classes have fewer than 2"):
        load((x, np.array([0, 0, 0, 1])))


def test_every_source_of_the_contract_is_there() -> None:
    names = [
        "digits",
        "mnist",
        "fashion-mnist",
        "cifar10",
        "cifar100",
        "location30",
        "location30-memguard",
        "adult",
        "lfw62",
        "purchase100",
        "texas100",
        "ham10000",
        "dermamnist",
        "dermamnist-64",
        "dermamnist-128",
        "dermamnist-224",
    ]
    assert list(SOURCES) == names


@pytest.mark.slow
def test_room_imports_neither_torch_nor_sklearn_nor_pooch() -> None:
    code = "import sys, memberwise.data; print([m for m in ('torch', 'sklearn', 'pooch') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
