"""``Registry``: names built in, of the user's own files, and of installed packages."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from memberwise import registry as room
from memberwise.attacks import ATTACKS, choose
from memberwise.attacks.own import check_own
from memberwise.cli.main import app
from memberwise.data import SOURCES, load
from memberwise.defences.output.registry import OUTPUT_DEFENCES, find_output_defence
from memberwise.defences.training.registry import TRAINING_DEFENCES, find_defence
from memberwise.errors import StudyError, did_you_mean
from memberwise.frontier.points import _place
from memberwise.models.modules import ARCHITECTURES
from memberwise.registry import Registry, instance_of
from memberwise.reproduce.registry import REPRODUCTIONS
from memberwise.signals.collectors.registry import COLLECTORS
from memberwise.study.schema import DefenceConfig

NUMBERS: Registry[int] = Registry(
    "number", [("one", 1), ("two", 2)], fits=instance_of(int), form="file.py:name", group="numbers", otherwise="count"
)
PLUGIN = """
from dataclasses import replace
from memberwise.attacks import ATTACKS
from memberwise.defences.output.label_only import LabelOnly
from memberwise.defences.training.registry import TRAINING_DEFENCES
THREE, WORD = 3, "word"
MINE = replace(ATTACKS["loss"], name="mine")
DEFENCE = replace(TRAINING_DEFENCES["l2"], name="mine-l2")
OUTPUT = LabelOnly
def rows():
    return [[0.0], [1.0]] * 4, [0, 1] * 4
"""


def install(monkeypatch: pytest.MonkeyPatch, group: str, points: dict[str, str]) -> None:
    """As if an installed package brought these entry points."""
    module = ModuleType("a_plugin")
    exec(PLUGIN, module.__dict__)
    monkeypatch.setitem(sys.modules, "a_plugin", module)
    brought = [EntryPoint(name.rstrip("+"), value, group) for name, value in points.items()]
    monkeypatch.setattr(room, "entry_points", lambda group: [point for point in brought if point.group == group])


def test_a_registry_is_a_mapping_of_the_built_in_ones() -> None:
    assert list(NUMBERS) == ["one", "two"]
    assert NUMBERS["two"] == 2
    assert len(NUMBERS) == 2
    assert "three" not in NUMBERS
    assert NUMBERS.find("one", "here") == 1


def test_a_name_used_twice_is_refused_with_both_places() -> None:
    with pytest.raises(ValueError, match=r"two numbers are called one \(numbers 1 and 3 of the list\)"):
        Registry("number", [("one", 1), ("two", 2), ("one", 3)])


def test_an_unknown_name_is_told_with_the_near_ones() -> None:
    with pytest.raises(StudyError) as caught:
        NUMBERS.find("twoo", "here")
    assert (caught.value.problem, caught.value.where) == ("there is no number twoo", "here")
    assert caught.value.expected == "one of one, two, or file.py:name"
    assert caught.value.fix == "did you mean two?"
    with pytest.raises(StudyError) as caught:
        NUMBERS.find("xyz", "here")
    assert caught.value.fix == "count"


@pytest.mark.parametrize(
    "registry", [ATTACKS, TRAINING_DEFENCES, OUTPUT_DEFENCES, SOURCES, ARCHITECTURES, COLLECTORS, REPRODUCTIONS]
)
def test_every_kind_of_name_stands_in_a_registry(registry: Registry[object]) -> None:
    assert isinstance(registry, Registry)
    assert len(registry) > 3


def test_did_you_mean_asks_about_the_nearest_names() -> None:
    assert did_you_mean("loss", ["loss-classwise", "los", "lira"]) == "did you mean los?"
    assert did_you_mean("abc", ["abd", "abe"]) in ("did you mean abd or abe?", "did you mean abe or abd?")
    assert did_you_mean("abc", ["abd", "abe"], most=1) in ("did you mean abd?", "did you mean abe?")
    assert did_you_mean("abc", ["xyz"]) is None


def test_did_you_mean_knows_names_in_another_case() -> None:
    assert did_you_mean("MASS", ["mass", "effusion"]) == "did you mean mass?"
    assert did_you_mean("GRÖSSE", ["Größe"]) == "did you mean Größe?"
    assert did_you_mean("ill", ["Ill", "ILL"]) == "did you mean Ill or ILL?"
    assert did_you_mean("ill", ["Ill", "ILL"], most=1) == "did you mean Ill?"


def test_a_file_is_looked_up_and_its_type_checked(tmp_path: Path) -> None:
    (tmp_path / "more.py").write_text("THREE, WORD = 3, 'word'")
    assert NUMBERS.find(f"{tmp_path}/more.py:THREE", "here") == 3
    with pytest.raises(StudyError, match=r"there is no number .*more\.py:WORD"):
        NUMBERS.find(f"{tmp_path}/more.py:WORD", "here")


def test_plugins_are_found_by_name_and_broken_ones_named(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {"three": "a_plugin:THREE", "bad": "a_plugin:NOSUCH", "one": "a_plugin:THREE", "word": "a_plugin:WORD"}
    install(monkeypatch, "numbers", points | {"twice": "a_plugin:THREE", "twice+": "a_plugin:WORD"})
    assert NUMBERS.find("three", "here") == 3
    assert NUMBERS.find("one", "here") == 1, "the built-in one stays"
    with pytest.raises(StudyError, match=r"the plug-in bad \(a_plugin:NOSUCH\) cannot be loaded"):
        NUMBERS.find("bad", "here")
    with pytest.raises(StudyError, match="two plug-ins are called twice"):
        NUMBERS.find("twice", "here")
    things, problems = NUMBERS.plugins()
    assert things == {"three": 3}
    assert [problem.partition(")")[0] for problem in problems] == [
        "the plug-in bad (a_plugin:NOSUCH",
        "the plug-in one (a_plugin:THREE",
        problems[2].partition(")")[0],
        "the plug-in word (a_plugin:WORD",
    ]
    assert problems[1].endswith("has the name of the built-in number one: not used")
    assert problems[2].startswith("two plug-ins are called twice")


def test_attacks_of_a_package_go_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "memberwise.attacks", {"mine": "a_plugin:MINE", "other": "a_plugin:MINE", "bad": "nosuch:X"})
    assert [attack.name for attack in choose(["mine", "gap"])] == ["gap", "mine"]
    with pytest.raises(StudyError, match="the plug-in other holds an attack of another name"):
        choose(["other"])
    done = CliRunner().invoke(app, ["list", "attacks"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "mine" in done.stdout
    assert "the plug-in bad (nosuch:X) cannot be loaded: ModuleNotFoundError" in done.stderr


def test_defences_and_data_of_a_package_go_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "memberwise.training_defences", {"mine-l2": "a_plugin:DEFENCE"})
    assert find_defence(DefenceConfig(name="mine-l2"))[0].name == "mine-l2"
    assert _place("mine-l2") == ("training", "mine-l2")
    install(monkeypatch, "memberwise.output_defences", {"mine-labels": "a_plugin:OUTPUT"})
    assert find_output_defence("mine-labels")[0].__name__ == "LabelOnly"
    assert _place("mine-labels") == ("answer", "mine-labels")
    install(monkeypatch, "memberwise.data", {"mine-rows": "a_plugin:rows"})
    assert load("mine-rows").records == 8


@pytest.mark.parametrize(("name", "thing"), [("a word", "word"), ("a class", Registry), ("None", None)])
def test_what_is_no_attack_is_refused(name: str, thing: object) -> None:
    with pytest.raises(StudyError, match=f"{name} is no attack"):
        check_own(thing, name, ATTACKS)


@pytest.mark.parametrize("registry", [ATTACKS, OUTPUT_DEFENCES, TRAINING_DEFENCES])
def test_a_file_without_a_name_is_told_how_to_name_it(registry: Registry[object]) -> None:
    with pytest.raises(StudyError, match=r"mine\.py:NAME"):
        choose(["mine.py"]) if registry is ATTACKS else registry.find("mine.py", "here")
