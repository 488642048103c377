"""What the package shows at its top: names, version, types."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from typer.main import get_command

import memberwise
from memberwise.cli.main import app
from memberwise.study.flags import FLAGS, ROLES

TOP = {"__init__", "api", "errors", "seeds", "registry"}


@pytest.mark.parametrize("name", memberwise.__all__)
def test_public_name_is_reached(name: str) -> None:
    assert getattr(memberwise, name) is not None


def test_unknown_name_raises() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        memberwise.nothing  # noqa: B018


def test_types_are_shipped() -> None:
    assert resources.files("memberwise").joinpath("py.typed").is_file()


def test_import_is_light() -> None:
    code = "import memberwise, sys; print(sorted(m for m in sys.modules if m in ('torch', 'sklearn', 'numpy')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_top_holds_rooms_and_few_files() -> None:
    folder = Path(memberwise.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} <= TOP
    rooms = [path for path in folder.iterdir() if path.is_dir() and (path / "__init__.py").exists()]
    assert len(rooms) <= 27


@pytest.mark.parametrize("verb", ["audit", "defend", "screen"])
def test_every_flag_of_a_study_key_is_an_argument_too(verb: str) -> None:
    command = get_command(app).commands[verb]  # type: ignore[attr-defined]
    flags = {option.name for option in command.params} & {*FLAGS}
    taken = inspect.signature(getattr(memberwise, verb)).parameters
    assert flags - {*taken} <= ({*ROLES} if "roles" in taken else set())
