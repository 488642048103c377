"""A name that a user's file has not: the error lists the names in it that would do."""

from __future__ import annotations

from pathlib import Path

import pytest

from memberwise.defences.output.base import OutputDefence
from memberwise.defences.training.base import TrainingDefence
from memberwise.errors import StudyError
from memberwise.study.entrypoint import load_entrypoint

DEFENCES = """
from functools import partial
from memberwise.defences.output import OutputDefence
from memberwise.defences.training.base import Options, TrainingDefence

class Mine(Options): ...
class Blunt(OutputDefence): ...
def step(options, fit): ...
def records(): ...
OUT = Blunt()
HALF = TrainingDefence("half", Mine, "x", "y", step=step)
_HIDDEN = HALF
"""


KINDS: dict[str, tuple[tuple[type, ...], ...]] = {
    "training.defence": ((TrainingDefence,),),
    "answer": ((OutputDefence,), (OutputDefence,)),
    "defend.defences (--defences)": ((TrainingDefence, OutputDefence), (OutputDefence,)),
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(DEFENCES)
    return str(path)


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("training.defence", "HALF"),
        ("answer", "Blunt, OUT"),
        ("defend.defences (--defences)", "Blunt, HALF, OUT"),
        ("data.source", "Blunt, Mine, records, step"),
        ("model.name", "Blunt, Mine, records, step"),
    ],
)
def test_the_names_that_would_do_are_listed(file: str, where: str, names: str) -> None:
    with pytest.raises(StudyError, match="holds no nosuch") as caught:
        load_entrypoint(f"{file}:nosuch", where, *KINDS.get(where, ()))
    assert caught.value.expected == f"one of {names}"
    assert caught.value.where == where


def test_a_close_name_is_offered(file: str) -> None:
    with pytest.raises(StudyError, match=r"did you mean HALF\?"):
        load_entrypoint(f"{file}:HALFS", "training.defence", *KINDS["training.defence"])


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("training.defence", "TrainingDefence"),
        ("answer", "OutputDefence"),
        ("defend.defences (--defences)", "TrainingDefence or OutputDefence"),
        ("data.source", "function or class"),
    ],
)
def test_a_file_with_nothing_that_would_do_says_so(tmp_path: Path, where: str, words: str) -> None:
    path = tmp_path / "bare.py"
    path.write_text("from pathlib import Path\nX = 1\n")
    with pytest.raises(StudyError) as caught:
        load_entrypoint(f"{path}:nosuch", where, *KINDS.get(where, ()))
    assert caught.value.found == f"the file defines no {words}"
    assert caught.value.expected == f"the name of a {words}"


def test_a_package_passes_names_on() -> None:
    with pytest.raises(StudyError, match="one of check_attack, check_defence"):
        load_entrypoint("memberwise.checks:nosuch", "model.name")
