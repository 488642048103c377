"""What is found in fitted models without an attack: counts against the estimators' own, and harmed files."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import Matern, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import memberwise as mw
from memberwise.errors import StudyError, TargetError
from memberwise.targets.inspection.tree_structure import check_trees
from memberwise.targets.skops_files import load_skops

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
Y = np.where(X[:, 0] + RNG.normal(size=90) > 0, "ill", "well")


def codes(model: Any, **more: Any) -> Any:
    return [one.code for one in mw.inspect(model, **more).findings]


def test_support_vectors_in_a_pipeline_are_counted() -> None:
    model = make_pipeline(StandardScaler(), SVC()).fit(X, Y)
    found = mw.inspect(model)
    assert found.stored_records == int(model[-1].n_support_.sum())
    assert found.findings[0].part == "Pipeline.steps.svc (SVC)"
    assert found.records == 90


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (KNeighborsClassifier(), 90),
        (GaussianProcessClassifier(), 90),
        (GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [3, 5]}), 90),
        (LogisticRegression(), 0),
        (RandomForestClassifier(3, random_state=0), 0),
    ],
)
def test_records_that_a_model_keeps_are_counted(model: Any, count: int) -> None:
    assert mw.inspect(model.fit(X, Y)).stored_records == count


def test_records_in_a_calibrated_model_are_those_of_its_parts() -> None:
    model = CalibratedClassifierCV(SVC(), cv=3).fit(X, Y)
    parts = [int(one.estimator.n_support_.sum()) for one in model.calibrated_classifiers_]
    assert mw.inspect(model).stored_records == sum(parts)


def test_small_and_pure_leaves_are_counted_as_records_fall() -> None:
    model = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, Y)
    leaves = model.apply(X)
    members = [leaves == leaf for leaf in np.unique(leaves)]
    small = sum(m.sum() < 10 for m in members)
    pure = sum(len(set(Y[m])) == 1 for m in members)
    found = {one.code: one.count for one in mw.inspect(model).findings}
    assert (found["small-leaves"], found["class-disclosure"]) == (small, pure)
    assert "settings" not in found  # its depth is limited


def test_forest_is_said_once_and_not_a_tree_each() -> None:
    model = RandomForestClassifier(30, random_state=0, oob_score=True).fit(X, Y)
    found = mw.inspect(model)
    assert sorted(one.code for one in found.findings) == sorted(
        ["stored-answers", "class-disclosure", "small-leaves", "parameters", "settings"]
    )
    assert found.records == 90


def test_leaves_of_histogram_boosting_are_looked_at() -> None:
    model = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=2).fit(X, Y)
    counts = np.concatenate([p.nodes["count"][p.nodes["is_leaf"] == 1] for row in model._predictors for p in row])
    assert [one.count for one in mw.inspect(model, least=5).findings if one.code == "small-leaves"] == [
        int((counts < 5).sum())
    ]


def test_leaves_of_lightgbm_are_those_of_its_file_too(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=2, verbose=-1).fit(X, Y)
    model.booster_.save_model(tmp_path / "model.txt")
    places = model.predict(X, pred_leaf=True)  # a record's leaf in each tree
    counts = np.concatenate([np.unique(tree, return_counts=True)[1] for tree in places.T])
    for thing in (model, tmp_path / "model.txt"):
        found = [one.count for one in mw.inspect(thing).findings if one.code == "small-leaves"]
        assert found == [int((counts < 10).sum())]


@pytest.mark.parametrize("wrong", [{"records": 0}, {"records": -5}, {"least": 1}])
def test_number_that_is_too_small_is_refused(wrong: Any) -> None:
    with pytest.raises(StudyError, match="too small"):
        mw.inspect(SVC().fit(X, Y), **wrong)


def test_parameters_are_compared_with_the_records() -> None:
    model = MLPClassifier((50,), alpha=0.1, early_stopping=True, max_iter=50, random_state=0).fit(X, Y)
    weights = sum(w.size for w in (*model.coefs_, *model.intercepts_))
    found = mw.inspect(model, records=90).findings
    assert [(one.code, one.count) for one in found] == [("parameters", weights)]
    assert codes(model, records=weights) == []


def test_vocabulary_of_single_records_is_a_setting_to_change() -> None:
    texts = [f"word{i} common" for i in range(20)]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, np.arange(20) % 2)
    assert "settings" in codes(model)


@pytest.mark.parametrize("thing", [SVC(), object(), "model.onnx", StandardScaler])
def test_what_has_no_structure_to_look_at_is_refused(thing: Any) -> None:
    with pytest.raises(TargetError):
        mw.inspect(thing)


def test_trees_of_a_skops_file_are_read_without_trust(tmp_path: Path) -> None:
    for model in (RandomForestClassifier(3, random_state=0), HistGradientBoostingClassifier(max_iter=2)):
        skops.io.dump(model.fit(X, Y), tmp_path / "m.skops")
        np.testing.assert_array_equal(load_skops(tmp_path / "m.skops").predict(X), model.predict(X))
        assert any("every node checked" in note for note in mw.inspect(tmp_path / "m.skops").notes)


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
def test_search_trees_of_neighbours_are_read_and_checked(tmp_path: Path, algorithm: Any) -> None:
    model = KNeighborsClassifier(3, algorithm=algorithm, leaf_size=5).fit(X, Y)
    skops.io.dump(model, tmp_path / "m.skops")
    assert mw.inspect(tmp_path / "m.skops").stored_records == 90
    for place, name, value in ((2, "idx_end", 10**6), (2, "is_leaf", 0), (1, None, 10**6)):
        state = list(model._tree.__getstate__())
        part = np.array(state[place])
        (part if name is None else part[name])[-1] = value
        state[place] = part
        harmed = KNeighborsClassifier(3, algorithm=algorithm, leaf_size=5).fit(X, Y)
        harmed._tree.__setstate__(tuple(state))
        with pytest.raises(TargetError, match="a tree of the file"):
            check_trees(harmed, "test")


def test_other_types_are_loaded_once_they_are_trusted(tmp_path: Path) -> None:
    model = make_pipeline(SplineTransformer(), LogisticRegression()).fit(X, Y)
    skops.io.dump(model, tmp_path / "m.skops")
    with pytest.raises(TargetError, match=r"(?s)scipy\.interpolate\._bsplines\.BSpline.*--trust"):
        load_skops(tmp_path / "m.skops")
    types = skops.io.get_untrusted_types(file=tmp_path / "m.skops")
    assert load_skops(tmp_path / "m.skops", types).predict(X).shape == (90,)


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("left_child", 0, "above it"),
        ("right_child", 10_000, "not in the tree"),
        ("feature", 99, "beyond"),
        ("left_child", -1, "one child"),
    ],
)
def test_tree_that_leads_out_of_itself_is_refused(field: Any, value: Any, fault: Any) -> None:
    model = DecisionTreeClassifier(random_state=0).fit(X, Y)
    state = model.tree_.__getstate__()
    state["nodes"][field][0] = value
    model.tree_.__setstate__(state)
    with pytest.raises(TargetError, match=fault):
        check_trees(model, "test")


def test_tree_that_claims_more_nodes_than_it_has_is_refused() -> None:
    model = DecisionTreeClassifier(random_state=0).fit(X, Y)
    state = model.tree_.__getstate__()
    state["node_count"] = 10**6
    model.tree_.__setstate__(state)
    with pytest.raises(TargetError, match="nodes said"):
        check_trees(model, "test")


@pytest.mark.parametrize(("field", "value"), [("left", 0), ("right", 4_000_000), ("feature_idx", 50)])
def test_boosted_tree_that_leads_out_of_itself_is_refused(field: Any, value: Any) -> None:
    model = HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=2).fit(X, Y)
    model._predictors[0][0].nodes[field][0] = value
    with pytest.raises(TargetError, match="a tree of the file"):
        check_trees(model, "test")


@pytest.mark.parametrize("library", ["xgboost", "catboost"])
def test_leaves_that_are_not_read_are_named(library: str) -> None:
    x = np.random.default_rng(0).normal(size=(80, 3))
    made = pytest.importorskip(library)
    options = {"n_estimators": 3, "max_depth": 2}
    model = (
        made.XGBClassifier(**options)
        if library == "xgboost"
        else made.CatBoostClassifier(**options, verbose=0, allow_writing_files=False)
    )
    assert "were not looked at" in str(mw.inspect(model.fit(x, x[:, 0] > 0)))


TABLE = pd.DataFrame({"age": X[:, 0], "dose": X[:, 1], "job": RNG.choice(["nurse", "smith"], 90)})
NUMBERS = make_column_selector(dtype_include=np.number)
# Pipelines of parts that skops does not know by itself, as people write them.
PLAIN_PARTS: dict[str, Any] = {
    "imputers": (SimpleImputer(), LogisticRegression()),
    "bins and selection": (KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"), SelectKBest(chi2, k=2), SVC()),
    "network": (StandardScaler(), MLPClassifier((4,), max_iter=300, tol=1e-2, random_state=0)),
    "calibration": (StandardScaler(), CalibratedClassifierCV(LogisticRegression(), cv=2)),
    "search": (StandardScaler(), GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, scoring="roc_auc", cv=2)),
    "vote": (StandardScaler(), VotingClassifier([("a", LogisticRegression()), ("b", SVC())])),
    "process": (StandardScaler(), GaussianProcessClassifier(1.0 * Matern() + WhiteKernel(), optimizer=None)),
}


@pytest.mark.parametrize("steps", PLAIN_PARTS.values(), ids=PLAIN_PARTS.keys())
def test_plain_parts_of_scikit_learn_need_no_trust(steps: Any, tmp_path: Path) -> None:
    first, *rest = steps
    columns = make_column_transformer((first, NUMBERS), (OneHotEncoder(sparse_output=False), ["job"]))
    model = make_pipeline(columns, *rest).fit(TABLE, Y)
    skops.io.dump(model, tmp_path / "m.skops")
    read = load_skops(tmp_path / "m.skops")
    np.testing.assert_array_equal(read.predict(TABLE), model.predict(TABLE))
    assert any("plain parts" in note for note in mw.inspect(tmp_path / "m.skops").notes)


def test_histogram_boosting_with_categories_needs_no_trust(tmp_path: Path) -> None:
    table = TABLE.astype({"job": "category"})
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype").fit(table, Y)
    skops.io.dump(model, tmp_path / "m.skops")
    np.testing.assert_array_equal(load_skops(tmp_path / "m.skops").predict_proba(table), model.predict_proba(table))


def test_a_function_of_ones_own_needs_trust(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(partial(eval, "1")), LogisticRegression())
    skops.io.dump(model, tmp_path / "m.skops")
    with pytest.raises(TargetError, match=r"without trust\n  found: builtins.eval\n"):
        load_skops(tmp_path / "m.skops")
