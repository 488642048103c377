"""memberwise defend, end to end on digits: points, recommendation, confirmation, export, and the same again."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from rich.console import Console
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import memberwise as mw
from memberwise.auditing.prepare import Inputs
from memberwise.cli.main import app
from memberwise.errors import RunFolderError, StudyError
from memberwise.frontier.feasible import usable, with_dataset
from memberwise.frontier.points import choose_points
from memberwise.frontier.schema import FrontierResult, frontier_schema
from memberwise.frontier.terminal import print_frontier
from memberwise.report.formats import plain as plain_number
from memberwise.study.reading import make_study
from memberwise.study.schema import ModelConfig

MINE = '''
from memberwise.defences.training.base import Options, TrainingDefence
from memberwise.training.step import Step


class Half(Step):
    """Half the loss: half the learning rate."""

    def loss(self, network, params, state, batch, key):
        loss, state = super().loss(network, params, state, batch, key)
        return loss / 2, state


HALF = TrainingDefence("half", Options, "half the loss", "nobody", step=lambda options, fit: Half())
'''
MY_ANSWER = """
import numpy as np
from memberwise.defences.output.base import OutputDefence, as_probabilities


class Coarse(OutputDefence):
    steps: int = 4

    def answer(self, ask, x, states, keys):
        return np.round(self.steps * as_probabilities(ask(x), ask.kind)) / self.steps


COARSE = Coarse(steps=2)
"""
BY_LABELS = ("gap", "label-only-augment", "label-only-noise", "label-only-boundary")
DISGUISE = """
import numpy as np
from memberwise.defences.output.base import OutputDefence, as_probabilities


class Disguise(OutputDefence):
    def answer(self, ask, x, states, keys):
        p = as_probabilities(ask(x), ask.kind)
        out = np.full(p.shape, 0.4 / (p.shape[-1] - 1))
        np.put_along_axis(out, p.argmax(-1)[..., None], 0.6, -1)
        return out
"""
ROLES = {"members": 100, "nonmembers": 100, "population": 100, "validation": 100}
SETTINGS = {
    "training.epochs": 20,
    "model.hidden": [32],
    "attacks.boundary_queries": 100,
    "attacks.boundary_records": 20,
}
ATTACKS = ["gap", "loss", "lira-online-fixed"]


def figures(row: dict[str, Any], names: Sequence[str]) -> dict[str, float]:
    return {one["name"]: one["auc"]["value"] for one in row["attacks"] if one["name"] in names}


def defend(out: Path, points: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    found = mw.defend(
        data="digits",
        shadow_models=4,
        seed=3,
        attacks=ATTACKS,
        defences=[],
        points=points,
        out=out,
        **{"settings": SETTINGS} | ROLES | more,
    )
    assert json.loads((out / "frontier.json").read_text()) == found.facts
    assert list(Draft202012Validator(frontier_schema()).iter_errors(found.facts)) == []
    return found.facts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frontier")


@pytest.fixture(scope="module")
def facts(folder: Path) -> dict[str, Any]:
    (folder / "mine.py").write_text(MINE)
    points = [
        {"name": "l2", "strength": 0.3},
        {"name": "hamp"},
        {"name": "answer:label-only"},
        {"name": f"{folder / 'mine.py'}:HALF"},
    ]
    return defend(folder / "out", points, max_accuracy_loss=0.5)  # type: ignore[arg-type]


@pytest.mark.slow
def test_every_point_is_measured_under_its_own_attack(facts: dict[str, Any], folder: Path) -> None:
    rows = {row["defence"].rpartition(":")[2]: row for row in facts["points"]}
    assert list(rows) == ["undefended", "l2", "hamp", "label-only", "HALF"]
    for row in rows.values():
        assert row["test_accuracy"]["low"] < row["test_accuracy"]["value"] < row["test_accuracy"]["high"]
        assert row["validation_accuracy"]["n"] == 100
        assert row["cost"] > 0
        assert row["gap"]["value"] >= 0.5
    assert rows["l2"]["train_accuracy"] < rows["undefended"]["train_accuracy"]
    assert rows["label-only"]["test_accuracy"]["value"] == rows["undefended"]["test_accuracy"]["value"]
    assert rows["label-only"]["headline"] == "gap", "where labels alone are answered no attack on scores can run"
    for row in rows.values():
        assert set(row["by_labels"]) == {"label-only-augment", "label-only-noise", "label-only-boundary"}
        for kind, key in (("auc", "auc"), ("attack_accuracy", "balanced_accuracy")):
            best = max(row["attacks"], key=lambda one: one[key]["value"])
            assert (row[kind]["name"], row[kind]["value"]) == (best["name"], best[key]["value"])
            assert row[kind]["low"] <= row[kind]["value"] <= row[kind]["high"]
            assert row[kind]["queries"] == best["queries"]
    assert rows["label-only"]["strongest"]["name"] in {*rows["label-only"]["by_labels"], "gap"}
    hidden, plain = rows["label-only"], rows["undefended"]
    assert figures(hidden, BY_LABELS) == figures(plain, BY_LABELS), "labels tell what they tell undefended"
    served = mw.Result.load(next((folder / "out" / "points").glob("hamp-*"))).to_dict()
    assert [answer["name"] for answer in served["study"]["answer"]] == ["hamp"]


@pytest.mark.slow
def test_the_recommended_point_is_audited_again_and_exported(facts: dict[str, Any], folder: Path) -> None:
    best = facts["recommended"]
    assert best is not None
    chosen, again = facts["points"][best], facts["confirmation"]
    assert again["seed"] != 3
    assert again["recommended"]["label"] == chosen["label"]
    assert again["recommended"]["test_accuracy"]["value"] != chosen["test_accuracy"]["value"]
    policy = tomllib.loads((folder / "out" / "policy.toml").read_text())
    assert {answer["name"] for answer in policy["answer"]} <= {"hamp", "label-only"}
    assert (folder / "out" / "target" / "model.safetensors").exists()
    assert (folder / "out" / "secret.key").exists() == bool(policy["answer"])
    x, y = load_digits(return_X_y=True)
    released = mw.load_target(folder / "out")
    answers = released.predict((x / 16).reshape(-1, *released.preprocessing.shape))
    labels = answers if released.kind == "labels" else answers.argmax(1)
    assert (labels == y).mean() == pytest.approx(chosen["test_accuracy"]["value"], abs=0.15)
    page = (folder / "out" / "frontier.html").read_text()
    assert page.count("<svg") == 2
    assert all(row["label"].split()[0].split("/")[-1] in page for row in facts["points"])


@pytest.mark.slow
def test_labels_in_disguise_are_worth_what_labels_are(tmp_path: Path) -> None:
    """Neither the shape of an answer nor what a defence says of itself hides what its labels tell."""
    (tmp_path / "mine.py").write_text(DISGUISE)
    facts = defend(tmp_path / "out", [{"name": "answer:label-only"}, {"name": f"{tmp_path / 'mine.py'}:Disguise"}])
    plain, bare, disguised = facts["points"]
    assert figures(disguised, BY_LABELS) == figures(bare, BY_LABELS) == figures(plain, BY_LABELS)
    assert disguised["auc"]["value"] >= max(figures(bare, BY_LABELS).values())
    assert facts["measure"] == "auc", "100 non-members resolve no rate of 1 %"
    for row in (bare, disguised):
        part = row["beside_undefended"]
        told = "lower" if part["high"] < 0 else "higher" if part["low"] > 0 else "not told apart"
        assert part["finding"] == told
    if facts["recommended"]:
        assert facts["points"][facts["recommended"]]["beside_undefended"]["finding"] == "lower"


@pytest.mark.slow
def test_epsilon_and_delta_are_with_the_points_they_belong_to(tmp_path: Path) -> None:
    points = [{"name": "dp-sgd", "epsilon": 20.0, "delta": 1e-4}, {"name": "dp-sgd", "noise_multiplier": 0.0}]
    facts = defend(tmp_path / "out", points, max_accuracy_loss=1.0)
    assert [row["delta"] for row in facts["points"]] == [None, 1e-4, None]
    assert facts["points"][0]["epsilon"] is facts["points"][2]["epsilon"] is None
    assert 19 < facts["points"][1]["epsilon"] <= 20
    told = f"epsilon {plain_number(facts['points'][1]['epsilon'])}, delta 0.0001"
    assert told in (tmp_path / "out" / "frontier.html").read_text()
    console = Console(file=io.StringIO(), width=240)
    print_frontier(FrontierResult.from_dict(facts), console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "epsilon," in shown
    assert plain_number(facts["points"][1]["epsilon"]) + "," in shown
    assert "0.0001" in shown
    assert "largely chance" in shown, "100 non-members resolve no rate of 1 %"


@pytest.mark.slow
def test_canaries_are_on_the_page_and_in_the_figures(tmp_path: Path) -> None:
    points = [{"name": "l2", "strength": 0.3}]
    facts = defend(tmp_path / "out", points, max_accuracy_loss=0.5, settings={**SETTINGS, "canaries.count": 40})
    for row in facts["points"]:
        assert row["canaries"]["count"] == 40
        assert row["auc"]["n_members"] == 20, "the attacks are on canaries"
    page = (tmp_path / "out" / "frontier.html").read_text()
    assert "Canaries at 0 FPR" in page
    assert "audit the chosen point with canaries" not in page
    assert facts["points"][1]["beside_undefended"]["canaries"] in ("lower", "higher", "not told apart")


@pytest.mark.slow
def test_the_same_call_again_trains_nothing(facts: dict[str, Any], folder: Path) -> None:
    points = facts["study"]["defend"]["points"]
    written = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.npz")}
    assert written
    again = defend(folder / "out", points, max_accuracy_loss=0.5)
    assert again["points"] == facts["points"]
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.npz")} == written


@pytest.mark.slow
def test_a_recommendation_that_no_longer_holds_is_not_left_there(facts: dict[str, Any], folder: Path) -> None:
    points = facts["study"]["defend"]["points"]
    strict = defend(folder / "out", points, max_tpr="0.0001@0.01")
    assert strict["recommended"] is None
    assert {warning["code"] for warning in strict["warnings"]} >= {"no-point"}
    assert not (folder / "out" / "policy.toml").exists()
    assert not (folder / "out" / "target").exists()
    again = defend(folder / "out", points, max_accuracy_loss=0.5)
    assert (folder / "out" / "policy.toml").exists()
    assert [row["cost"] for row in again["points"]] == [row["cost"] for row in facts["points"]], "read from the blocks"


@pytest.mark.slow
def test_a_defence_whose_code_changed_is_trained_again(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    points = [{"name": f"{tmp_path / 'mine.py'}:HALF"}]
    first = defend(tmp_path / "out", points)
    (tmp_path / "mine.py").write_text(MINE.replace("loss / 2", "loss / 1000"))
    second = defend(tmp_path / "out", points)
    accuracies = [[row["train_accuracy"] for row in found["points"]] for found in (first, second)]
    assert accuracies[0][0] == accuracies[1][0], "the undefended model is read"
    assert accuracies[1][1] < accuracies[0][1] - 0.2, "a thousandth of the learning rate learns little"


@pytest.mark.slow
def test_an_output_defence_of_ones_own_goes_through_the_frontier(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MY_ANSWER)
    points = [{"name": f"{tmp_path / 'mine.py'}:Coarse", "steps": 8}, {"name": f"{tmp_path / 'mine.py'}:COARSE"}]
    facts = defend(tmp_path / "out", points, max_tpr="1@0.01")  # type: ignore[arg-type]
    assert [row["place"] for row in facts["points"]] == ["none", "answer", "answer"]
    served = [mw.Result.load(folder).to_dict() for folder in sorted((tmp_path / "out" / "points").glob("C*"))]
    assert sorted(answer.get("steps", 2) for one in served for answer in one["study"]["answer"]) == [2, 8]
    (tmp_path / "mine.py").write_text(MY_ANSWER.replace("self.steps * ", "0 * "))
    again = defend(tmp_path / "out", points, max_tpr="1@0.01")  # type: ignore[arg-type]
    changed = [row["auc"]["value"] for row in again["points"][1:]]
    assert changed == pytest.approx([0.5, 0.5], abs=0.03), "changed code is audited again"


@pytest.mark.slow
def test_own_defence_that_raises_is_named_and_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE.replace("return loss / 2, state", "return {}['nope']"))
    facts = defend(tmp_path / "out", [{"name": f"{tmp_path / 'mine.py'}:HALF"}, {"name": "rounding"}])
    [failed] = facts["failed"]
    assert "HALF" in failed["label"]
    assert "KeyError: 'nope'" in failed["reason"]
    assert [row["defence"] for row in facts["points"]] == ["undefended", "rounding"]


@pytest.mark.slow
def test_unfit_members_of_a_group_are_left_out_at_once(tmp_path: Path) -> None:
    study = make_study(
        {
            "data": {"source": "digits", **ROLES},
            "model": {"name": "sklearn.tree:DecisionTreeClassifier"},
            "shadow": {"count": 4},
            "defend": {"defences": ["default"]},
        },
        "test",
    )
    inputs = with_dataset(study, Inputs())
    points, refused = usable(choose_points(study), study, inputs)
    assert {point.name for point in points} == {"undefended", "logit-clipping", "rounding", "label-only"}
    assert {point.name for point, _ in refused} >= {"l2", "relaxloss", "dp-sgd"}
    assert all("network" in reason for _, reason in refused)
    own = study.model_copy(update={"training": study.training.model_copy(update={"weight_decay": 5e-4})})
    own = own.model_copy(update={"model": ModelConfig()})
    points, refused = usable(choose_points(own), own, inputs)
    assert {point.name for point, _ in refused} == {"l2"}, "it would overwrite the study's own"
    named = study.model_copy(update={"defend": study.defend.model_copy(update={"defences": ("l2",)})})
    with pytest.raises(StudyError, match="network"):
        usable(choose_points(named), named, inputs)


@pytest.mark.slow
def test_in_vain(folder: Path, facts: dict[str, Any], tmp_path: Path) -> None:
    audited = next((folder / "out" / "points").iterdir())
    with pytest.raises(RunFolderError, match="audit's run"):
        defend(audited, [])
    with pytest.raises(StudyError, match="already"):
        mw.defend({"training": {"defence": "l2"}}, data="digits", out=tmp_path)
    with pytest.raises(StudyError, match="reference"):
        mw.defend(data="digits", out=tmp_path, defences=["advreg"], **ROLES)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="membres"):
        mw.defend(data="digits", out=tmp_path, membres=3)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    flags = ["--data", "digits", "--members", "100", "--nonmembers", "100", "--validation", "100"]
    flags += ["--defences", "rounding", "--shadow-models", "4", "--attacks", "gap,loss", "--out", str(tmp_path / "f")]
    flags += ["--set", "training.epochs=3", "--set", "model.hidden=[16]"]
    flags += ["--set", "attacks.boundary_queries=100", "--set", "attacks.boundary_records=10"]
    planned = CliRunner().invoke(app, ["defend", *flags, "--dry-run"])
    assert planned.exit_code == 0
    assert planned.stdout.startswith("undefended\nrounding digits=")
    assert not (tmp_path / "f").exists()
    done = CliRunner().invoke(app, ["defend", *flags])
    assert done.exit_code == 0, done.output
    assert "frontier.html" in done.stdout
    assert CliRunner().invoke(app, ["defend", *flags, "--defences", "roundin"]).exit_code == 2
    assert CliRunner().invoke(app, ["defend", *flags, "--max-tpr", "a lot"]).exit_code == 2
