"""Audits with a cascade: its rounds on real models, resumed, refused where they cannot be, blind to the truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.multiclass import OutputCodeClassifier
from sklearn.tree import DecisionTreeClassifier

import memberwise as mw
from memberwise.attacks.request import AttackRequest
from memberwise.auditing.cascade import FOLDER, gather_rounds, jobs_of
from memberwise.auditing.cost import Pace, estimate_cost
from memberwise.auditing.notes import processor_notes
from memberwise.auditing.prepare import Inputs, Prepared, prepare
from memberwise.auditing.resolve import resolve
from memberwise.auditing.run import run_audit
from memberwise.auditing.shadows import gather_shadows
from memberwise.auditing.table import signals_table
from memberwise.auditing.target import gather_target
from memberwise.errors import StudyError, TrainingError
from memberwise.signals.progress import Silent
from memberwise.store.folder import RunFolder
from memberwise.study.schema import Study

RECIPE = {"training.epochs": 15, "model.hidden": [64], "statistics.turns": "none"}
SMALL: dict[str, Any] = {"members": 300, "nonmembers": 300, "population": 200, "shadow_models": 4, "seed": 2}
FEW: dict[str, Any] = SMALL | {"attacks": ["learned"], "settings": RECIPE}


def audit(out: Path, **more: Any) -> mw.Result:
    return mw.audit(data="digits", out=out, **FEW | more)


def attack(result: mw.Result, name: str) -> Any:
    (found,) = (one for one in result.to_dict()["attacks"] if one["name"] == name)
    return found


def made_ready(out: Path, data: dict[str, Any] | None = None) -> tuple[Prepared, RunFolder]:
    values = {
        "data": {"source": "digits", "members": 200, "nonmembers": 200, "population": 150} | (data or {}),
        "training": {"epochs": 5},
        "model": {"hidden": [32]},
        "shadow": {"count": 4, "cascade": 8},
        "run": {"out": str(out / "run")},
    }
    prepared = prepare(resolve(Study.model_validate(values)), Inputs())
    return prepared, RunFolder(out / "run", prepared.study)


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> mw.Result:
    return audit(tmp_path_factory.mktemp("cascade") / "run", cascade=8)


@pytest.mark.slow
def test_the_rounds_are_kept_and_told(whole: mw.Result) -> None:
    result = whole.to_dict()
    told = result["shadow"]["cascade"]
    assert (told["models"], told["rounds"], len(told["released"])) == (8, 2, 2)
    assert all(0 < share <= 1 for share in told["released"])
    assert "cascade" in result["family"]["names"]  # without being named: its models were asked for
    assert attack(whole, "cascade")["threshold"] == {"value": 0.5, "chosen_on": "shadows"}
    assert attack(whole, "cascade")["auc"]["value"] > attack(whole, "learned")["auc"]["value"] - 0.02
    assert "4 shadow models and 8 of a cascade" in (whole.folder / "model_card.md").read_text()  # type: ignore[operator]
    rounds = sorted(path.name for path in (whole.folder / FOLDER).iterdir())  # type: ignore[operator]
    assert rounds == ["round-01", "round-02"]


@pytest.mark.parametrize(
    ("values", "models"),
    [
        ({"gate": {"rules": ["auc>0.6"]}}, 8),
        ({"gate": {"rules": ["loss:auc>0.6", "tpr@0.01>0.2"]}, "attacks": {"use": ["learned"]}}, 8),
        ({"gate": {"rules": ["auc>0.6"]}, "shadow": {"count": 4, "cascade": 0}}, 0),
        ({"gate": {"rules": ["auc>0.6"]}, "shadow": {"count": 4, "cascade": 12}}, 12),
        ({}, 0),
        ({"gate": {"rules": ["loss:auc>0.6"]}}, 0),
        ({"gate": {"rules": ["recipe:auc>0.6", "exposed(0.9)>0.1", "stored-records>0"]}}, 0),
        ({"gate": {"rules": ["auc>0.6"]}, "attacks": {"use": ["loss", "base"]}}, 0),
        ({"gate": {"rules": ["auc>0.6", "learned:auc>0.7"]}, "attacks": {"use": ["base"]}}, 8),
        ({"gate": {"rules": ["auc>0.6"]}, "attacks": {"use": ["base"], "headline": "learned"}}, 8),
        ({"gate": {"rules": ["auc>0.6", "cascade:auc>0.7"]}, "attacks": {"use": ["base"]}}, 8),
        ({"gate": {"rules": ["auc>0.6"]}, "attacks": {"use": ["default", "cascade"]}}, 8),
        ({"gate": {"rules": ["auc>0.6"]}, "attacks": {"headline": "cascade"}}, 8),
        ({"gate": {"rules": ["auc>0.6"]}, "shadow": {"count": 2}}, 0),
        ({"gate": {"rules": ["auc>0.6"]}, "shadow": {"budget": "5m"}}, 0),
        ({"gate": {"rules": ["auc>0.6"]}, "shadow": {"data": "auxiliary"}}, 0),
        ({"gate": {"rules": ["auc>0.6"]}, "answer": ["label-only"]}, 0),
        ({"gate": {"rules": ["auc>0.6"]}, "outputs": {"file": "answers.npz", "shadow_file": "shadows.npz"}}, 0),
    ],
)
def test_a_rule_about_the_family_has_one_run_where_it_can_be(values: dict[str, Any], models: int) -> None:
    study = Study.model_validate({"data": {"source": "digits"}} | values)
    request = AttackRequest.of(study)
    assert (request.cascade, request.rounds) == (models, models // 4)
    assert not models or "cascade" in [attack.name for attack in request.attacks]


@pytest.mark.slow
def test_a_gate_meets_it_unasked(tmp_path: Path) -> None:
    gated = audit(tmp_path / "gated", fail_if="auc>0.9").to_dict()
    assert gated["shadow"]["cascade"]["models"] == 8
    assert gated["verdict"]["passed"] is True
    assert {one["attack"] for one in gated["family"]["adjusted"]} >= {"cascade", "learned"}
    assert "passed-without-cascade" not in [warning["code"] for warning in gated["warnings"]]


@pytest.mark.slow
def test_again_it_reads_its_rounds_and_ends_the_same(whole: mw.Result, tmp_path: Path) -> None:
    assert whole.folder is not None
    blocks = sorted(whole.folder.glob(f"{FOLDER}/*/*.npz"))
    before = [path.stat().st_mtime_ns for path in blocks]
    scores = (whole.folder / "scores.csv").read_bytes()
    audit(whole.folder, cascade=8)
    assert [path.stat().st_mtime_ns for path in blocks] == before
    assert (whole.folder / "scores.csv").read_bytes() == scores
    fresh = audit(tmp_path / "fresh", cascade=8)
    assert attack(fresh, "cascade")["auc"] == attack(whole, "cascade")["auc"]


@pytest.mark.slow
def test_rounds_added_later_leave_what_there_is(tmp_path: Path) -> None:
    audit(tmp_path, cascade=4)
    first = tmp_path / FOLDER / "round-01" / "block-00001.npz"
    kept = [(path, path.stat().st_mtime_ns) for path in (tmp_path / "signals" / "block-00001.npz", first)]
    result = audit(tmp_path, cascade=8)
    assert [(path, path.stat().st_mtime_ns) for path, _ in kept] == kept
    assert result.to_dict()["shadow"]["cascade"]["rounds"] == 2
    without = audit(tmp_path).to_dict()
    assert "cascade" not in without["shadow"]
    assert "cascade" not in [one["name"] for one in without["attacks"]]


@pytest.mark.slow
def test_a_harmed_round_is_trained_again(tmp_path: Path) -> None:
    one = audit(tmp_path, cascade=4)
    (tmp_path / FOLDER / "round-01" / "block-00001.npz").write_bytes(b"harmed")
    again = audit(tmp_path, cascade=4)
    assert "block-trained-again" in [warning["code"] for warning in again.to_dict()["warnings"]]
    assert attack(again, "cascade")["auc"] == attack(one, "cascade")["auc"]


@pytest.mark.slow
def test_rounds_do_not_know_who_is_a_member(tmp_path: Path) -> None:
    """The same target and shadow models, other people called members: the rounds train on the same records."""
    prepared, folder = made_ready(tmp_path)
    target, shadows = gather_target(prepared, folder), gather_shadows(prepared, folder, 0.0, Silent())
    signals = signals_table(prepared, target.arrays, shadows)
    others = np.sort(np.random.default_rng(0).permutation(prepared.roles.audited)[:200])
    rest = np.setdiff1d(prepared.roles.audited, others)
    swapped = replace(prepared, roles=replace(prepared.roles, members=others, nonmembers=rest))
    one, other = (
        gather_rounds(each, RunFolder(tmp_path / name, each.study), target.arrays, shadows, signals, None, Silent())
        for name, each in (("one", prepared), ("other", swapped))
    )
    assert (swapped.roles.member != prepared.roles.member).any()
    for mine, yours in zip(one.rounds, other.rounds, strict=True):
        np.testing.assert_array_equal(mine.table.trained_on, yours.table.trained_on)
        np.testing.assert_array_equal(mine.prior, yours.prior)
    assert len(one.rounds) == 2


@pytest.mark.slow
def test_answers_in_steps_are_lifted_in_rounds_too(digits: tuple[Any, Any], tmp_path: Path) -> None:
    result = mw.audit(
        data=digits,
        model=RandomForestClassifier(10),
        out=tmp_path,
        **SMALL | {"background": 50, "attacks": ["learned"], "cascade": 4, "settings": {"statistics.turns": "none"}},
    )
    assert "answers-in-steps" in [warning["code"] for warning in result.to_dict()["warnings"]]
    assert attack(result, "cascade")["auc"]["value"] > 0.5
    entry = json.loads((tmp_path / FOLDER / "round-01" / "manifest.json").read_text())
    assert entry["blocks"]["block-00001"]["models"] == [0, 1, 2, 3]


@pytest.mark.slow
def test_with_surplus_non_members_rounds_are_of_the_targets_size(tmp_path: Path) -> None:
    prepared, folder = made_ready(tmp_path, {"nonmembers": 600})
    target, shadows = gather_target(prepared, folder), gather_shadows(prepared, folder, 0.0, Silent())
    signals = signals_table(prepared, target.arrays, shadows)
    run = gather_rounds(prepared, folder, target.arrays, shadows, signals, None, Silent())
    for one in run.rounds:
        sizes = one.table.trained_on.sum(1)
        assert np.abs(sizes - 200).max() < 40, sizes
        surplus = np.isin(prepared.roles.audited, prepared.roles.surplus_nonmembers)
        assert not one.table.trained_on[:, surplus].any()


@pytest.mark.slow
def test_a_persons_records_stay_together_and_background_is_in(digits: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = digits
    frame = pd.DataFrame(x).assign(y=y, person=np.arange(len(y)) // 3)
    frame.columns = [str(name) for name in frame.columns]
    frame.to_csv(tmp_path / "table.csv", index=False)
    prepared, folder = made_ready(
        tmp_path, {"source": str(tmp_path / "table.csv"), "label": "y", "unit": "person", "background": 40}
    )
    target, shadows = gather_target(prepared, folder), gather_shadows(prepared, folder, 0.0, Silent())
    signals = signals_table(prepared, target.arrays, shadows)
    run = gather_rounds(prepared, folder, target.arrays, shadows, signals, None, Silent())
    units = prepared.roles.audited_units
    assert len(run.rounds) == 2
    assert units is not None
    for one in run.rounds:
        for unit in np.unique(units):
            assert len(np.unique(one.table.trained_on[:, units == unit], axis=1).T) == 1
    jobs = jobs_of(prepared, 1, [one == 1 for one in run.rounds[0].table.trained_on])
    for job, inside in zip(jobs, run.rounds[0].table.trained_on, strict=True):
        assert set(job.rows) == {*prepared.roles.audited[inside == 1], *prepared.roles.background}


@pytest.mark.slow
def test_a_gate_that_passes_without_a_cascade_says_so(tmp_path: Path) -> None:
    codes = []
    for name, more in (("without", {"cascade": 0}), ("with", {"cascade": 4})):
        result = audit(tmp_path / name, fail_if="auc>0.97", **more).to_dict()
        assert result["family"]["decision"] == "passed"
        codes.append([warning["code"] for warning in result["warnings"]])
    assert "passed-without-cascade" in codes[0]
    assert "passed-without-cascade" not in codes[1]
    labels = RECIPE | {"answer": ["label-only"]}
    of_labels = audit(tmp_path / "labels", fail_if="auc>0.97", attacks=["gap", "learned"], settings=labels).to_dict()
    assert of_labels["family"]["decision"] == "passed"
    told = [warning["code"] for warning in of_labels["warnings"]]
    assert "passed-without-cascade" not in told, "none could have been begun"


@pytest.mark.slow
def test_an_unasked_cascade_is_silent_where_labels_are_answered(digits: tuple[Any, Any], tmp_path: Path) -> None:
    more = SMALL | {"attacks": ["gap", "learned"], "settings": {"statistics.turns": "none"}, "fail_if": "auc>0.99"}
    model = OutputCodeClassifier(DecisionTreeClassifier(), random_state=0)
    result = mw.audit(data=digits, model=model, out=tmp_path, **more).to_dict()
    assert [one["name"] for one in result["attacks"]] == ["gap"], "it has no scores"
    assert not {"no-cascade", "passed-without-cascade"} & {warning["code"] for warning in result["warnings"]}


@pytest.mark.slow
def test_an_interrupted_gate_is_told_why_there_is_no_cascade(tmp_path: Path) -> None:
    values = {
        "data": {"source": "digits", "members": 200, "nonmembers": 200},
        "training": {"epochs": 3},
        "model": {"hidden": [32]},
        "shadow": {"count": 4},
        "attacks": {"use": ["learned"]},
        "gate": {"rules": ["auc>0.99"]},
        "run": {"out": str(tmp_path / "run")},
    }
    told = run_audit(Study.model_validate(values), progress=Stops(1)).to_dict()["warnings"]
    codes = [warning["code"] for warning in told]
    assert "interrupted" in codes
    assert "passed-without-cascade" not in codes


@pytest.mark.slow
def test_answered_labels_begin_no_cascade(tmp_path: Path) -> None:
    more = {"settings": RECIPE | {"answer": ["label-only"]}, "attacks": ["gap", "learned"], "cascade": 4}
    result = audit(tmp_path, **more).to_dict()
    assert "no-cascade" in [warning["code"] for warning in result["warnings"]]
    assert [one["name"] for one in result["attacks"]] == ["gap"]
    assert {one["name"] for one in result["skipped"]} == {"learned", "cascade"}
    assert "cascade" not in result["shadow"]


@pytest.mark.slow
def test_canaries_have_a_cascade_too(tmp_path: Path) -> None:
    result = audit(tmp_path, canaries=40, cascade=4, shadow_models=8).to_dict()
    assert result["shadow"]["cascade"]["rounds"] == 1
    assert "cascade" in [one["name"] for one in result["attacks"]]


@pytest.mark.slow
def test_its_cost_is_foretold_round_by_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured, costs = Pace.of, []
    # A block takes two seconds, whatever else the machine does.
    monkeypatch.setattr(Pace, "of", lambda *args: replace(measured(*args), first=1.0, each=2.0, step=0.0))
    for cascade in (0, 8):
        values = {
            "data": {"source": "digits", "members": 200, "nonmembers": 200},
            "training": {"epochs": 200},
            "model": {"hidden": [256]},
            "shadow": {"count": 4, "cascade": cascade},
            "attacks": {"use": ["learned"]},
            "plan": {"threads": 1, "stack": 4},
            "run": {"out": str(tmp_path / "run")},
        }
        costs.append(estimate_cost(Study.model_validate(values)))
    without, with_it = costs
    assert (without.models, with_it.models) == (5, 13)
    assert 2 * 2 < with_it.seconds - without.seconds < 2 * 2 + 4, "two rounds of a block, and learning on each"
    assert with_it.disk_bytes > 2 * without.disk_bytes


class Stops(Silent):
    """Ctrl-C once a model of this round is done."""

    def __init__(self, number: int, what: str = "") -> None:
        self.number, self.what = number, what

    def named(self, what: str) -> Stops:
        return Stops(self.number, what)

    def update(self, done: float) -> None:
        if self.what.endswith(f"round {self.number}") and done:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_interrupted_before_its_headline_it_is_interrupted(tmp_path: Path) -> None:
    values = {
        "data": {"source": "digits", "members": 200, "nonmembers": 200},
        "training": {"epochs": 3},
        "model": {"hidden": [32]},
        "shadow": {"count": 4, "cascade": 4},
        "attacks": {"headline": "cascade"},
        "run": {"out": str(tmp_path / "run")},
    }
    with pytest.raises(KeyboardInterrupt):
        run_audit(Study.model_validate(values), progress=Stops(1))


@pytest.mark.slow
def test_interrupted_in_a_round_it_counts_without_it(tmp_path: Path) -> None:
    prepared, folder = made_ready(tmp_path)
    target, shadows = gather_target(prepared, folder), gather_shadows(prepared, folder, 0.0, Silent())
    signals = signals_table(prepared, target.arrays, shadows)
    run = gather_rounds(prepared, folder, target.arrays, shadows, signals, None, Stops(2))
    assert [note.code for note in run.notes] == ["interrupted"]
    assert len(run.rounds) == 1
    assert run.facts is not None
    assert (run.facts.models, run.facts.rounds) == (4, 1)
    assert run.interrupted
    shadows.interrupted = True  # before the cascade: nothing more is trained
    none = gather_rounds(prepared, folder, target.arrays, shadows, signals, None, Silent())
    assert none.facts is None
    assert "finished" in none.skipped[0].reason
    shadows.interrupted = False
    again = gather_rounds(prepared, folder, target.arrays, shadows, signals, None, Silent())
    assert len(again.rounds) == 2
    assert not again.notes


class OfWholeHalves(RandomForestClassifier):  # type: ignore[misc]
    """Fits halves of the audited records alone, of which a round's models have a few more or fewer."""

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> OfWholeHalves:
        if len(x) != SMALL["members"]:
            raise ValueError(f"{len(x)} records")
        super().fit(x, y, sample_weight)
        return self


@pytest.mark.slow
def test_what_fails_in_a_round_says_so(digits: tuple[Any, Any], tmp_path: Path) -> None:
    more = SMALL | {"attacks": ["learned"], "settings": {"statistics.turns": "none"}, "fail_if": "auc>0.99"}
    with pytest.raises(TrainingError, match="round 1 of the cascade: ") as failure:
        mw.audit(data=digits, model=OfWholeHalves(10), out=tmp_path / "asked", cascade=4, **more)
    assert "records" in str(failure.value)
    assert "--cascade 0" in str(failure.value)
    unasked = mw.audit(data=digits, model=OfWholeHalves(10), out=tmp_path / "unasked", **more)
    assert unasked.passed is not None, "a verdict all the same"
    told = {warning["code"]: warning["message"] for warning in unasked.to_dict()["warnings"]}
    assert "--cascade 0" in told["cascade-given-up"]
    assert "passed-without-cascade" not in told
    assert [one["name"] for one in unasked.to_dict()["skipped"]] == ["cascade"]


def test_several_kinds_of_processors_are_told() -> None:
    (note,) = processor_notes({"one": 4, "another": 2, "": 3})
    assert "one (4 models), another (2 models)" in note.message
    assert not processor_notes({"one": 4, "": 3})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cascade": 6}, "4 or 8"),
        ({"cascade": 4, "shadow_models": 2}, "--shadow-models 4"),
        ({"cascade": 4, "shadow_models": None, "budget": "1m"}, "--shadow-models"),
        ({"cascade": 4, "settings": {"shadow.data": "auxiliary"}, "auxiliary": 100}, "halves"),
        ({"attacks": ["cascade"]}, "--cascade 16"),
        ({"fail_if": "cascade:auc>0.9"}, "--cascade 16"),
        ({"attacks": ["learned"], "settings": {"attacks.headline": "cascade"}}, "--cascade 16"),
    ],
)
def test_impossible_cascades_are_refused_with_what_to_do(changes: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as refused:
        audit(tmp_path / "run", **changes)
    assert words in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_saved_answers_have_no_cascade(tmp_path: Path) -> None:
    saved = {"predictions": np.full((20, 2), 0.5), "labels": np.zeros(20, int), "member": np.arange(20) < 10}
    for more in ({"cascade": 4}, {"attacks": ["cascade"]}):
        with pytest.raises(StudyError, match="saved answers") as refused:
            mw.audit(outputs=saved, out=tmp_path / "run", **more)
        assert "--cascade 16" not in str(refused.value)
