"""Structural findings as part of an audit, the gate on them, the verb, and models by name and from boosters' files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from typer.testing import CliRunner

import memberwise as mw
from memberwise.cli.main import app
from memberwise.errors import StudyError, TargetError
from memberwise.models.build import build_model
from memberwise.statistics.gate import parse_rule
from memberwise.statistics.judging import judge
from memberwise.study.schema import ModelConfig

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
Y = (X[:, 0] + RNG.normal(size=120) > 0).astype(int)
SIZES: dict[str, Any] = {
    "members": 40,
    "nonmembers": 40,
    "shadow_models": 2,
    "attacks": ["loss"],
    "settings": {"plan.threads": 1},
}


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def neighbours(tmp_path: Path) -> Any:
    skops.io.dump(KNeighborsClassifier(3).fit(X[:60], Y[:60]), tmp_path / "knn.skops")
    return tmp_path / "knn.skops"


def test_verb_tells_stored_records_and_fails_on_them(neighbours: Any) -> None:
    told = run("inspect", neighbours)
    assert told.exit_code == 0
    assert "60 training records" in told.stdout
    assert json.loads(run("inspect", neighbours, "--json").stdout)["stored_records"] == 60
    assert run("inspect", neighbours, "--fail-if", "stored-records>0").exit_code == 1
    assert run("inspect", neighbours, "--fail-if", "stored-records>60").exit_code == 0
    assert run("inspect", neighbours, "--fail-if", "auc>0.6").exit_code == 2


def test_rule_on_stored_records_is_decided_by_their_number() -> None:
    for stored, passed in ((0, True), (5, False), (None, None)):
        assert judge([parse_rule("stored-records>0")], {}, [], stored=stored)[0].passed is passed
    for text in ("loss:stored-records>0", "stored-records>=0", "stored-records@0.1>0"):
        with pytest.raises(StudyError):
            parse_rule(text)


@pytest.mark.slow
def test_audit_of_an_estimator_states_its_findings(tmp_path: Path) -> None:
    first = mw.audit(model=SVC(), data=(X, Y), out=tmp_path, fail_if="stored-records>0", **SIZES)
    facts = first.to_dict()
    stored = [one["count"] for one in facts["inspect"] if one["code"] == "stored-records"]
    assert 0 < stored[0] <= 40
    assert facts["verdict"]["passed"] is False
    told = f"The limit is exceeded by {sum(stored)} stored records, where 0 are allowed."
    assert told in (tmp_path / "report.html").read_text()
    assert "What the model itself holds" in (tmp_path / "report.html").read_text()
    again = mw.audit(model=SVC(), data=(X, Y), out=tmp_path, fail_if="stored-records>0", **SIZES)
    assert again.to_dict()["inspect"] == facts["inspect"]  # kept with the target's block


@pytest.mark.slow
def test_skops_forest_on_a_table_is_audited_without_trust(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    words = np.where(Y == 1, "ill", "well")
    forest = RandomForestClassifier(10, random_state=0).fit(frame[:60], words[:60])
    skops.io.dump(forest, tmp_path / "forest.skops")
    more = SIZES | {"members": None, "nonmembers": None, "model": "random-forest"}
    result = mw.audit(
        data=frame.assign(state=words),
        label="state",
        target=tmp_path / "forest.skops",
        train_rows=np.arange(60),
        **more,
    ).to_dict()
    assert result["target"]["train_accuracy"] == pytest.approx(forest.score(frame[:60], words[:60]))
    assert "trusted-types" in {warning["code"] for warning in result["warnings"]}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("random-forest", {"n_estimators": 5}),
        ("extra-trees", {"n_estimators": 5}),
        ("hist-gradient-boosting", {"max_iter": 5}),
        ("xgboost", {"n_estimators": 5}),
        ("lightgbm", {"n_estimators": 5, "min_child_samples": 3}),
        ("catboost", {"iterations": 5}),
    ],
)
def test_estimators_by_name_take_their_options(name: Any, options: Any) -> None:
    model = build_model(ModelConfig(name=name, options=options), (4,), 2)
    made = model.make()
    assert model.kind == "estimator"
    assert {key: made.get_params()[key] for key in options} == options
    assert made.fit(X, Y).predict_proba(X).shape == (120, 2)


def test_estimator_by_name_refuses_what_it_does_not_know() -> None:
    with pytest.raises(StudyError, match="no parameter trees"):
        build_model(ModelConfig(name="random-forest", options={"trees": 5}), (4,), 2)
    with pytest.raises(StudyError, match=r"model\.hidden|no hidden"):
        build_model(ModelConfig(name="random-forest", hidden=(3,)), (4,), 2)


def saved_booster(name: Any, folder: Any) -> Any:
    model = build_model(ModelConfig(name=name, options={"n_estimators": 8}), (4,), 2).make().fit(X[:60], Y[:60])
    path = folder / {"xgboost": "m.json", "lightgbm": "m.txt", "catboost": "m.cbm"}[name]
    model.booster_.save_model(path) if name == "lightgbm" else model.save_model(str(path))
    return model, path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "catboost"])
def test_boosters_own_file_is_audited_as_the_model_answers(name: Any, tmp_path: Path) -> None:
    model, path = saved_booster(name, tmp_path)
    more = SIZES | {"members": None, "nonmembers": None, "model": name}
    result = mw.audit(data=(X, Y), target=path, train_rows=np.arange(60), **more).to_dict()
    assert result["target"]["train_accuracy"] == pytest.approx((model.predict(X[:60]) == Y[:60]).mean())
    assert mw.inspect(path).stored_records == 0


def test_file_that_is_no_booster_is_refused(tmp_path: Path) -> None:
    for name in ("m.json", "m.txt", "m.cbm"):
        (tmp_path / name).write_text("{}")
        with pytest.raises(TargetError, match=r"is no \w+ classifier"):
            mw.inspect(tmp_path / name)
