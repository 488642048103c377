"""Where models train, in the study: new keys, the old one, and that no figure depends on them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import memberwise as mw
from memberwise.cli.audit import study_of
from memberwise.cli.main import app
from memberwise.errors import StudyError
from memberwise.reproduce.flow import check_engine
from memberwise.study.engine import EngineConfig
from memberwise.study.reading import make_study, put, read_study
from memberwise.study.schema import Study
from memberwise.training.engines.registry import find_engine


def test_an_old_study_names_its_engine_still(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text('[shadow]\ncount = 8\nengine = "ray"\n')
    study = make_study(read_study(file), "study")
    assert (study.engine.name, study.shadow.count) == ("ray", 8)
    assert "engine" not in tomllib.loads(study.to_toml())["shadow"]


def test_a_flag_goes_above_the_old_key(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text('[shadow]\nengine = "local"\n')
    flags: dict[str, object] = {"engine.name": "ray", "engine.ray.address": "ray://head:10001"}
    study = study_of(str(file), flags, [])
    assert (study.engine.name, study.engine.ray.address) == ("ray", "ray://head:10001")
    values: dict[str, object] = {"engine": {"name": "ray"}}
    put(values, "shadow.engine", "slurm")
    assert make_study(values, "").engine.name == "slurm", "a setting by the old name stands for the new one"


REFUSED = r"--ray-address is Ray's(.|\n)*the engine (local|slurm)(.|\n)*--engine ray"
DIGITS: dict[str, Any] = {"data": "digits", "members": 60, "nonmembers": 60, "shadow_models": 2}


@pytest.mark.parametrize("more", [{}, {"engine": "local"}, {"engine": "slurm"}, {"settings": {"engine.name": "local"}}])
def test_an_address_of_ray_for_another_engine_is_refused(more: dict[str, Any], tmp_path: Path) -> None:
    flags: dict[str, object] = {"engine.name": more["engine"]} if "engine" in more else dict(more.get("settings", {}))
    with pytest.raises(StudyError, match=REFUSED):
        study_of(None, {"engine.ray.address": "auto", **flags}, [])
    with pytest.raises(StudyError, match=REFUSED):
        mw.audit(**DIGITS, ray_address="auto", **more)
    with pytest.raises(StudyError, match=REFUSED):
        mw.defend(**DIGITS, out=tmp_path / "defend", ray_address="ray://head:10001", **more)
    with pytest.raises(StudyError, match=REFUSED):
        check_engine({"engine.ray.address": "auto", **flags})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", [["audit"], ["defend"], ["reproduce", "overview-lira", "--smoke"]])
def test_every_verb_refuses_an_address_without_ray(verb: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*verb, "--ray-address", "auto", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "--ray-address is Ray's" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_study_keeps_its_address_under_another_engine(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text('[engine.ray]\naddress = "auto"\n')
    with pytest.raises(StudyError, match=REFUSED):
        study_of(str(file), {}, [])
    assert study_of(str(file), {"engine.name": "local"}, []).engine.name == "local"
    assert study_of(str(file), {"engine.name": "ray"}, []).engine.ray.address == "auto"


def test_a_run_may_go_on_with_another_engine() -> None:
    one, other = Study(), make_study({"engine": {"name": "slurm", "slurm": {"partition": "gpu"}}}, "")
    assert one.training_key() == other.training_key()


@pytest.mark.parametrize("address", ["head", "http://head:1", "ray://user@head:1", "ray://head", "head:123456", ""])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(StudyError, match=r"engine\.ray\.address"):
        make_study({"engine": {"ray": {"address": address}}}, "")


@pytest.mark.parametrize("key", ["adress", "address_"])
def test_an_unknown_key_of_ray_is_named(key: str) -> None:
    with pytest.raises(StudyError, match=f"unknown study key engine.ray.{key}(.|\n)*did you mean address"):
        make_study({"engine": {"ray": {key: "auto"}}}, "")


def test_engines_are_found_by_name() -> None:
    with pytest.raises(StudyError, match=r"there is no engine rya(.|\n)*one of local(.|\n)*did you mean ray"):
        find_engine(EngineConfig(name="rya"))


@pytest.mark.slow
def test_ray_is_imported_only_when_asked_for() -> None:
    code = (
        "import sys, memberwise, memberwise.auditing.run; print([m for m in ('ray', 'submitit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
