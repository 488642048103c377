"""What goes to workers: large arrays once, the user's modules by source, and refused where anything differs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

from memberwise.errors import TrainingError
from memberwise.models.network import Network
from memberwise.signals.collection import SignalCollection
from memberwise.signals.questions import Questions
from memberwise.study.entrypoint import load_entrypoint
from memberwise.training.engines import parcel
from memberwise.training.engines.base import Block
from memberwise.training.engines.slurm import write_parcel
from memberwise.training.engines.tries import Tries
from memberwise.training.plan import Plan
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.stack import StackTrainer

CPU = torch.device("cpu")


def address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def test_data_are_packed_once_and_stay_uint8() -> None:
    x, y = np.zeros((200, 1000), np.uint8), np.zeros(200, np.int64)
    rows = np.arange(10)
    trainer = StackTrainer(Network(lambda: nn.Linear(1000, 2), CPU), DataTensors.of(x, y, 2, CPU), Plan(2))
    _ = trainer.data.in_bfloat16  # what was made of the data does not go along
    packed = parcel.pack((trainer, SignalCollection(Questions(x, y, 2, rows, rows, rows, rows))))
    assert [(str(array.dtype), array.shape) for array in packed.arrays] == [("uint8", (200, 1000))]
    assert len(packed.letter.content) < 20_000
    assert packed.nbytes >= x.nbytes
    there, collection = parcel.open_parcel(packed.letter, packed.arrays, "here")
    assert there.data.x.data_ptr() == address(collection.questions.x) == address(x)


def test_arrays_that_only_look_alike_stay_two() -> None:
    x = np.zeros((2, 100, 1000), np.uint8)
    packed = parcel.pack([x[0], x[1], x[0].view(np.int8), x[0]])
    assert len(packed.arrays) == 3
    again = parcel.open_parcel(packed.letter, packed.arrays, "here")
    assert [part.dtype for part in again] == [np.uint8, np.uint8, np.int8, np.uint8]
    assert address(again[0]) == address(again[3])


def test_read_only_arrays_open_without_warning() -> None:
    packed = parcel.pack(torch.zeros(100, 1000))
    for array in packed.arrays:
        array.flags.writeable = False
    assert parcel.open_parcel(packed.letter, packed.arrays, "here").shape == (100, 1000)


def test_both_versions_are_in_the_refusal() -> None:
    with pytest.raises(TrainingError) as refusal:
        parcel.check_versions({**parcel.versions(), "memberwise": "9.9", "numpy": "0.1"}, "node 3")
    message = str(refusal.value)
    assert "another version of memberwise, numpy" in message
    assert "memberwise 9.9, numpy 0.1" in message
    assert f"numpy {np.__version__}" in message
    assert "node 3" in message


def test_a_local_version_of_torch_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0+cu128")
    assert parcel.versions()["torch"] == "2.13.0"


MODEL = """
import near_module_of_test

def make():
    return near_module_of_test.VALUE
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delitem(sys.modules, "near_module_of_test", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "model.py").write_text(
        "import near_module_of_test\n\ndef make():\n    return near_module_of_test.VALUE\n"
    )
    (tmp_path / "near_module_of_test.py").write_text("VALUE = 41\n")
    return load_entrypoint(f"{tmp_path / 'model.py'}:make", "model.name")


OPEN = """
import sys, cloudpickle
from memberwise.training.engines.parcel import open_parcel
for file in sys.argv[1:]:
    print(open_parcel(cloudpickle.loads(open(file, "rb").read()), [], "elsewhere")())
"""


def opened_elsewhere(folder: Path, *letters: parcel.Letter) -> str:
    """What one process, which has the user's files nowhere, gets out of these letters."""
    empty = folder / "elsewhere"
    empty.mkdir()
    files = [folder / f"letter-{k}" for k in range(len(letters))]
    for file, letter in zip(files, letters, strict=True):
        file.write_bytes(cloudpickle.dumps(letter))
    command = [sys.executable, "-c", OPEN, *map(str, files)]
    room = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(command, cwd=empty, env=room, capture_output=True, text=True)
    assert not list(folder.glob("memberwise-code-*"))  # the user's code does not stay
    return done.stdout


@pytest.mark.slow
def test_a_users_file_and_what_is_beside_it_travel(model: Any, tmp_path: Path) -> None:
    letter = parcel.pack(model).letter
    assert {source.name for source in letter.sources} >= {model.__module__, "near_module_of_test"}
    for file in tmp_path.glob("*.py"):
        file.unlink()
    assert opened_elsewhere(tmp_path, letter) == "41\n"


def test_other_code_of_a_module_is_refused(model: Any) -> None:
    letter = parcel.pack(model).letter
    hashes = {**letter.hashes, model.__module__: "0" * 64}
    with pytest.raises(TrainingError, match=r"a worker has other code of model\.py"):
        parcel.open_parcel(parcel.Letter(letter.content, letter.sources, letter.versions, hashes), [], "node 3")


def test_a_module_that_is_missing_there_is_named() -> None:
    letter = parcel.pack(np.arange(3)).letter
    hashes = {"hospital_models": "0" * 64}
    with pytest.raises(TrainingError, match="a worker cannot import hospital_models"):
        parcel.open_parcel(parcel.Letter(letter.content, (), letter.versions, hashes), [], "node 3")


@pytest.mark.slow
def test_a_file_that_was_changed_is_read_anew(model: Any, tmp_path: Path) -> None:
    before = parcel.pack(model).letter
    (tmp_path / "near_module_of_test.py").write_text("VALUE = 42\n")
    after = parcel.pack(model).letter
    assert opened_elsewhere(tmp_path, before, after, before) == "41\n42\n41\n"


KILLED = OPEN + "import os\nos._exit(9)\n"


@pytest.mark.slow
def test_code_of_a_killed_worker_is_removed_by_the_next(model: Any, tmp_path: Path) -> None:
    """Not of one that still runs, nor of one that is only beginning."""
    file, room = tmp_path / "letter", {**os.environ, "TMPDIR": str(tmp_path)}
    file.write_bytes(cloudpickle.dumps(parcel.pack(model).letter))
    running = OPEN + "input()\n"
    with subprocess.Popen([sys.executable, "-c", running, str(file)], env=room, stdin=-1, stdout=-1, text=True) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "41\n"
        [held] = tmp_path.glob("memberwise-code-*")
        subprocess.run([sys.executable, "-c", KILLED, str(file)], env=room, capture_output=True)
        [left] = {*tmp_path.glob("memberwise-code-*")} - {held}
        subprocess.run([sys.executable, "-c", OPEN, str(file)], env=room, check=True)
        assert {*tmp_path.glob("memberwise-code-*")} == {held, left}
        for folder in (held, left):
            os.utime(folder, (0, 0))
        subprocess.run([sys.executable, "-c", OPEN, str(file)], env=room, check=True)
        assert [*tmp_path.glob("memberwise-code-*")] == [held]
        one.communicate("\n")
    assert not [*tmp_path.glob("memberwise-code-*")]


def test_a_parcel_as_files_is_its_owners_alone(tmp_path: Path) -> None:
    packed = parcel.pack(np.zeros((100, 1000), np.uint8))
    write_parcel(packed, tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    assert np.load(tmp_path / "data" / "0.npy", mmap_mode="r").dtype == np.uint8


def test_tries_end_with_an_error_of_the_same_kind() -> None:
    tries, block = Tries(2), Block(4, 6, (None, None))  # type: ignore[arg-type]
    tries.again(block, "ValueError: no", ValueError("no"))
    assert "1 time a block was trained again: block 4: ValueError: no" in tries.notes[0].message
    with pytest.raises(TrainingError, match=r"block 4 \(shadow models 6 to 7\), tried 2 times"):
        tries.again(block, "ValueError: no", ValueError("no"))
