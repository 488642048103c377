"""Shadow models of a fitted estimator are trained as it was, unless the study says how."""

from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.tree import DecisionTreeClassifier
from torch import nn

import memberwise as mw
from memberwise.auditing.resolve import resolve
from memberwise.errors import StudyError
from memberwise.study.schema import Study
from memberwise.targets.boosters import load_booster, unfitted

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 5)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=160) > 0).astype(int)
ROWS = np.arange(80)


@pytest.mark.parametrize("ending", ["skops", "json", "txt", "cbm"])
def test_study_of_a_fitted_file_names_the_target_as_model(ending: str) -> None:
    target = {"file": f"model.{ending}"}
    assert resolve(Study(target=target)).study.model.name == "target"
    for model in ({"name": "logistic"}, {"hidden": [8]}):
        named = resolve(Study(target=target, model=model)).study.model
        assert named.name == model.get("name", "mlp")


@pytest.mark.parametrize("as_file", [True, False])
def test_shadow_models_of_a_full_tree_are_full_trees(as_file: bool, tmp_path: Path) -> None:
    """A tree that is grown to the end knows each of its training records; the default network does not."""
    tree = DecisionTreeClassifier(random_state=0).fit(X[ROWS], Y[ROWS])
    skops.io.dump(tree, tmp_path / "m.skops")
    target = tmp_path / "m.skops" if as_file else tree
    sizes = {"shadow_models": 2, "seed": 1, "attacks": ["loss"], "out": tmp_path / "run"}
    result = mw.audit(target=target, train_rows=ROWS, data=(X, Y), **sizes).to_dict()  # type: ignore[arg-type]
    assert (result["target"]["train_accuracy"], result["shadow"]["train_accuracy"]) == (1, 1)
    assert result["study"]["model"]["name"] == "target"
    # What was written runs again as it is.
    assert Study.model_validate(result["study"]).model.name == "target"


def test_the_targets_model_is_none_of_a_network() -> None:
    with pytest.raises(StudyError, match="can be trained as the target was only"):
        mw.audit(target=nn.Linear(5, 2), model="target", train_rows=ROWS, data=(X, Y), shadow_models=2)


def test_boosters_files_tell_what_they_were_trained_by(tmp_path: Path) -> None:
    lightgbm, xgboost = pytest.importorskip("lightgbm"), pytest.importorskip("xgboost")
    xgboost.XGBClassifier(n_estimators=7, max_depth=2).fit(X, Y).save_model(tmp_path / "m.json")
    lightgbm.LGBMClassifier(n_estimators=6, num_leaves=5, min_child_samples=4, learning_rate=0.3, verbose=-1).fit(
        X, Y
    ).booster_.save_model(tmp_path / "m.txt")
    told = unfitted(load_booster(tmp_path / "m.json")).get_params()
    assert (told["n_estimators"], told["max_depth"]) == (7, 2)
    told = unfitted(load_booster(tmp_path / "m.txt")).get_params()
    assert [told[name] for name in ("n_estimators", "num_leaves", "min_child_samples", "learning_rate")] == [
        6,
        5,
        4,
        0.3,
    ]


def test_what_a_boosters_file_does_not_tell_is_said(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    xgboost.XGBClassifier(n_estimators=5, max_depth=2).fit(X[ROWS], Y[ROWS]).save_model(tmp_path / "m.json")
    sizes = {"shadow_models": 2, "attacks": ["loss"], "out": tmp_path / "run"}
    result = mw.audit(target=tmp_path / "m.json", train_rows=ROWS, data=(X, Y), **sizes).to_dict()  # type: ignore[arg-type]
    said = {one["code"]: one["message"] for one in result["warnings"]}
    assert "XGBClassifier(n_estimators=5, max_depth=2)" in said["target-parameters"]
