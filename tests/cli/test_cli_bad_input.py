"""Bad input: exit code 2, a message that says what to do, and nothing half-written."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from memberwise.cli.main import app

Maker = Callable[[Path], list[str]]
RNG = np.random.default_rng(0)
DIGITS = ["--data", "digits", "--members", "40", "--nonmembers", "40", "--population", "20"]


def frame(n: int = 60) -> pd.DataFrame:
    return pd.DataFrame({"a": RNG.normal(size=n), "b": RNG.integers(0, 3, n), "label": np.arange(n) % 3})


def csv(change: Callable[[pd.DataFrame], pd.DataFrame] = lambda f: f) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        change(frame()).to_csv(folder / "data.csv", index=False)
        return str(folder / "data.csv")

    return write


def file(name: str, content: bytes) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    return write


def npz(**arrays: object) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        np.savez(folder / "answers.npz", **arrays)  # type: ignore[arg-type]
        return str(folder / "answers.npz")

    return write


def data(make: Callable[[Path], str], *more: str) -> Maker:
    return lambda folder: ["--data", make(folder), *more]


def outputs(make: Callable[[Path], str]) -> Maker:
    return lambda folder: ["--outputs", make(folder)]


def flags(*args: str) -> Maker:
    return lambda folder: list(args)


def claiming(folder: Path) -> str:
    """A .npz whose only array has a header of more numbers than there are."""
    np.save(folder / "x.npy", np.zeros((10, 10)))
    with zipfile.ZipFile(folder / "data.npz", "w") as archive:
        archive.writestr("x.npy", (folder / "x.npy").read_bytes().replace(b"(10, 10)", b"(99, 99)"))
    return str(folder / "data.npz")


def rows(name: str, values: list[int]) -> Callable[[Path], str]:
    return file(name, "\n".join(map(str, values)).encode())


def entry(made: str) -> Maker:
    code = f"from torch import nn\n\ndef make():\n    return {made}\n"
    return lambda folder: [*DIGITS, "--model", file("model.py", code.encode())(folder) + ":make"]


def torchscript(folder: Path) -> list[str]:
    path = folder / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(path))
    return [*DIGITS, "--target", str(path), "--train-rows", rows("t.txt", list(range(40)))(folder)]


def target(name: str, content: bytes = b"x") -> Maker:
    return lambda folder: [
        *(*DIGITS, "--target", file(name, content)(folder)),
        *("--train-rows", rows("t.txt", list(range(40)))(folder)),
    ]


Z, Y, MEMBER = RNG.normal(size=(20, 2)), np.arange(20) % 2, np.arange(20) < 10
CASES: dict[str, tuple[Maker, str]] = {
    "unknown key": (flags(*DIGITS, "--set", "training.epoch=3"), "did you mean epochs"),
    "unknown table": (flags(*DIGITS, "--set", "trainig.epochs=3"), "did you mean training"),
    "wrong type": (flags(*DIGITS, "--set", "training.epochs=many"), "training.epochs"),
    "half a setting": (flags(*DIGITS, "--set", "training.epochs"), "key=value"),
    "unknown source": (flags("--data", "mnits"), "mnist"),
    "unknown attack": (flags(*DIGITS, "--attacks", "lira-onlin"), "lira-online"),
    "unknown headline": (flags(*DIGITS, "--set", "attacks.headline=los"), "did you mean loss"),
    "unknown model": (flags(*DIGITS, "--model", "mpl"), "did you mean mlp"),
    "memguard without reference": (flags(*DIGITS, "--set", 'answer=[{name="memguard"}]'), "--reference"),
    "unknown training defence": (flags(*DIGITS, "--set", "training.defence=relaxlos"), "did you mean relaxloss"),
    "unknown defence": (flags(*DIGITS, "--set", 'answer=[{name="roundin"}]'), "did you mean rounding"),
    "unknown study file": (flags("nowhere.toml"), "does not exist"),
    "image model on a table": (data(csv(), "--model", "cnn"), "for images"),
    "missing file": (flags("--data", "nowhere.csv"), "nowhere.csv"),
    "no model file": (flags(*DIGITS, "--model", "nowhere.py:make"), "does not exist"),
    "not a zip": (data(file("data.npz", b"label,a\n1,2\n")), "not what its name says"),
    "empty csv": (data(file("data.csv", b"")), "not what its name says"),
    "pickle as data": (data(file("data.pkl", pickle.dumps([1, 2]))), "runs the code"),
    "label column missing": (data(csv(), "--label", "diagnosis"), "a, b, label"),
    "a class with one record": (data(csv(lambda f: f.assign(label=[9, *f.label[1:]]))), "fewer than 2 records"),
    "NaN in a feature": (data(csv(lambda f: f.assign(a=f.a.where(f.index != 7)))), "row 7"),
    "inf in a feature": (data(csv(lambda f: f.assign(a=f.a.where(f.index != 7, np.inf)))), "infinite"),
    "NaN in answers": (outputs(npz(logits=Z * np.nan, labels=Y, member=MEMBER)), "NaN or infinite"),
    "no probabilities": (outputs(npz(probabilities=Z, labels=Y, member=MEMBER)), "scores"),
    "all members": (outputs(npz(logits=Z, labels=Y, member=MEMBER | True)), "only members"),
    "member of 2": (outputs(npz(logits=Z, labels=Y, member=MEMBER * 2)), "not 0 or 1"),
    "outputs missing": (flags("--outputs", "nowhere.npz"), "nowhere.npz"),
    "shadow outputs alone": (flags("--shadow-outputs", "nowhere.npz", *DIGITS), "--outputs FILE"),
    "outputs and data": (flags("--outputs", "a.npz", *DIGITS), "saved answers are audited without"),
    "overlapping roles": (
        lambda d: [
            *("--data", "digits", "--members", rows("m.txt", [1, 2, 3])(d)),
            *("--nonmembers", rows("n.txt", [3, 4, 5])(d)),
        ],
        "members and nonmembers overlap",
    ),
    "rows that do not exist": (lambda d: ["--data", "digits", "--members", rows("m.txt", [99_999])(d)], "99999"),
    "more than exist": (flags("--data", "digits", "--members", "1500", "--nonmembers", "1500"), "1,797"),
    "odd shadow count": (flags(*DIGITS, "--shadow-models", "7"), "even: 6 or 8"),
    "too few shadows": (flags(*DIGITS, "--shadow-models", "0"), "greater than or equal to 2"),
    "size mismatch": (
        flags(*DIGITS, "--auxiliary", "40", "--set", "shadow.data=auxiliary"),
        "--allow-size-mismatch",
    ),
    "malformed gate": (flags(*DIGITS, "--fail-if", "tpr>0.05"), "tpr@0.01>0.05"),
    "gate on epsilon": (flags(*DIGITS, "--fail-if", "epsilon>1"), "epsilon cannot be gated on"),
    "gate on no attack": (flags(*DIGITS, "--fail-if", "liar:auc>0.6"), "no attack liar"),
    "fpr of 0": (flags(*DIGITS, "--fpr", "0"), "between 0 and 1"),
    "fpr of 1.5": (flags(*DIGITS, "--fpr", "0.1,1.5"), "between 0 and 1"),
    "fpr of words": (flags(*DIGITS, "--fpr", "low"), "auto, or numbers"),
    "queries on a table": (data(csv(), "--set", "queries=mirror"), "queries are for images"),
    "pickled target": (target("model.pkl"), "safetensors"),
    "joblib target": (target("model.joblib"), "skops"),
    "pt2 target": (target("model.pt2"), "safetensors"),
    "torchscript target": (torchscript, "TorchScript runs code"),
    "pickle called .pt": (target("model.pt", pickle.dumps({"a": 1})), "cannot be read as weights"),
    "broken safetensors": (target("model.safetensors"), "cannot be read as weights"),
    "broken onnx": (target("model.onnx"), "no readable ONNX"),
    "target without its rows": (lambda d: [*DIGITS, "--target", file("m.safetensors", b"")(d)], "--train-rows"),
    "rows without a target": (lambda d: [*DIGITS, "--train-rows", rows("t.txt", [1])(d)], "--target"),
    "saved answers and roles": (flags("--outputs", "a.npz", "--members", "3"), "data.members = 3"),
    "saved answers and a defence": (
        lambda d: [*outputs(npz(logits=Z, labels=Y, member=MEMBER))(d), "--set", 'answer=[{name="rounding"}]'],
        "audited as they are",
    ),
    "saved answers and a dry run": (
        lambda d: [*outputs(npz(logits=Z, labels=Y, member=MEMBER))(d), "--dry-run"],
        "nothing to estimate",
    ),
    "a table without answers": (outputs(file("a.csv", b"label:member:p_0\n1:1:0.5\n")), "separated by commas"),
    "a table of answers without labels": (outputs(file("a.csv", b"member;p_0\n1;0,5\n0;0,5\n")), "no column label"),
    "a number column with a slip": (
        data(csv(lambda f: f.assign(a=f.a.map(str).where(f.index != 7, "n/k")))),
        "row 7",
    ),
    "a module for other records": (entry("nn.Linear(999, 10)"), "does not take the records"),
    "a module for other classes": (entry("nn.Sequential(nn.Flatten(), nn.Linear(64, 2))"), "(records, 10)"),
    "a factory that fails": (entry("nn.Linear(1)"), "model.py, line 4"),
    "a factory that raises": (entry("1 / 0"), "raises an error instead of making a model"),
    "a factory that exits": (entry("__import__('sys').exit('no')"), "SystemExit: no"),
    "a factory that wants more": (
        lambda d: [*DIGITS, "--model", file("model.py", b"def make(width):\n    return width\n")(d) + ":make"],
        "arguments with defaults",
    ),
    "data of a function that exits": (
        lambda d: ["--data", file("records.py", b"import sys\n\n\ndef get():\n    sys.exit(3)\n")(d) + ":get"],
        "records.py, line 5",
    ),
    "data of unequal lists": (
        lambda d: ["--data", file("records.py", b"def get():\n    return [[1, 2], [3]], [0, 1]\n")(d) + ":get"],
        "x is no array",
    ),
    "a column to drop that is not there": (data(csv(), "--drop", "aa"), "did you mean a?"),
    "a feature that is not there": (data(csv(), "--features", "a,c"), "no feature column 'c'"),
    "nothing left to train on": (data(csv(), "--drop", "a,b"), "no feature columns are left"),
    "columns of images": (flags(*DIGITS, "--drop", "a"), "no columns to choose from"),
    "a name for every record": (
        data(csv(lambda f: f.assign(name=[f"P{i}" for i in range(60)]))),
        "--drop name",
    ),
    "a feature too large": (data(csv(lambda f: f.assign(a=f.a.where(f.index != 7, 1e300)))), "row 7, column a"),
    "two lines of names": (
        data(file("data.csv", b"who,who,lab\nage,sex,label\n1,0,0\n2,1,1\n3,0,1\n")),
        "two lines of column names",
    ),
    "a separator too many": (data(file("data.csv", b"a,b,label\n1,2,0,\n3,4,1,\n")), "lines end in a separator"),
    "an Excel file": (data(file("data.csv", b"PK\x03\x04\x14\x00\x06\x00")), "Excel"),
    "a header that claims too much": (data(claiming), "claims to be larger than it is"),
    "the index twice": (outputs(npz(logits=Z, labels=Y, member=MEMBER, index=Y)), "occur more than once"),
    "+inf in answers": (
        outputs(npz(logits=np.where(Z[3, 1] == Z, np.inf, Z), labels=Y, member=MEMBER)),
        "record 3, class 1",
    ),
    "every class ruled out": (
        outputs(npz(logits=np.where(np.arange(20)[:, None] == 5, -np.inf, Z), labels=Y, member=MEMBER)),
        "of record 5",
    ),
    "deep TOML": (lambda d: [file("deep.toml", b"a = " + b"[" * 10**5 + b"]" * 10**5)(d)], "nested too deeply"),
    "deep dotted TOML": (lambda d: [file("deep.toml", b".".join([b"a"] * 3000) + b" = 1")(d)], "nested too deeply"),
    "a deep setting": (flags(*DIGITS, "--set", "a=" + "[" * 10**5), "nested too deeply"),
    "a deep key": (flags(*DIGITS, "--set", ".".join(["a"] * 3000) + "=1"), "nested too deeply"),
    "a number of thousands of digits in a study": (
        lambda d: [file("long.toml", b"[training]\nepochs = " + b"9" * 5000)(d)],
        "cannot be read",
    ),
    "a count of thousands of digits": (
        flags("--data", "digits", "--members", "9" * 5000),
        "neither a count nor a file",
    ),
    "a count in other digits": (flags("--data", "digits", "--members", "²"), "neither a count nor a file"),
    "epochs beyond reason": (flags(*DIGITS, "--set", "training.epochs=" + "9" * 30), "training.epochs"),
    "threads beyond reason": (flags(*DIGITS, "--set", "plan.threads=1000000000"), "plan.threads"),
    "a model beyond memory": (flags(*DIGITS, "--set", "model.hidden=[1000000000000]"), "does not fit into memory"),
    "nothing to resume without a study": (flags("--resume"), "without --resume"),
    "an empty study": (lambda d: [file("empty.toml", b"")(d)], "is empty"),
    "an infinite rate": (flags(*DIGITS, "--set", "training.learning_rate=inf"), "training.learning_rate"),
    "no CUDA device": (flags(*DIGITS, "--device", "cuda"), "no CUDA device"),
    "nothing to resume": (flags(*DIGITS, "--resume"), "no run to resume"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, said = CASES[name]
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["audit", *make(tmp_path), "--out", str(out)])
    assert done.exit_code == 2, done.output + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not out.exists()


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    done = CliRunner().invoke(app, ["audit", *DIGITS, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "is a file" in done.stderr
    assert (tmp_path / "out").read_text() == "mine"


def test_a_users_own_study_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["init"]).exit_code == 0
    before = (tmp_path / "study.toml").read_text()
    done = CliRunner().invoke(app, ["audit", "study.toml", "--out", "."])
    assert done.exit_code == 2
    assert (tmp_path / "study.toml").read_text() == before


@pytest.mark.slow
@pytest.mark.parametrize("more", [["--shadow-models", "100000000"], ["--set", "training.epochs=100000000"]])
def test_the_cost_of_absurd_numbers_is_told_at_once(more: list[str], tmp_path: Path) -> None:
    args = ["audit", *DIGITS, "--attacks", "loss", *more, "--out", str(tmp_path / "out"), "--dry-run"]
    begun = time.process_time()
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.stderr
    assert "years" in done.stdout or "days" in done.stdout
    assert time.process_time() - begun < 30
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_factory_that_fails_the_second_time_is_told_as_such(tmp_path: Path) -> None:
    code = "from torch import nn\n\nmade = []\n\n\ndef make():\n    made.append(1)\n    assert len(made) < 2, 'once'\n"
    code += "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    model = file("once.py", code.encode())(tmp_path) + ":make"
    done = CliRunner().invoke(app, ["audit", *DIGITS, "--model", model, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2, done.stderr
    assert "AssertionError: once" in done.stderr
    assert "report it" not in done.stderr


def test_errors_are_exported_and_light() -> None:
    code = (
        "import sys, memberwise as mw\n"
        "names = [name for name in mw.__all__ if name.endswith('Error')]\n"
        "assert len(names) == 10 and all(issubclass(getattr(mw, name), mw.MemberwiseError) for name in names)\n"
        "assert not {'torch', 'sklearn', 'pandas'} & set(sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
