"""Scikit-learn classifiers of several binary labels a record, trained here or given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import memberwise as mw
from memberwise.errors import StudyError
from memberwise.targets.label_set_estimators import LabelSetEstimators

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 6)).astype(np.float32)
Y = (X[:, :3] + RNG.normal(size=(240, 3)) > 0.5).astype(int)
FEW: dict[str, Any] = {"members": 80, "nonmembers": 80, "shadow_models": 2, "attacks": ["gap", "loss"], "seed": 1}
CLASSIFIERS = {
    "forest": RandomForestClassifier(5, random_state=0),
    "each-label": MultiOutputClassifier(LogisticRegression()),
    "one-against-rest": OneVsRestClassifier(LogisticRegression()),
    "margins": OneVsRestClassifier(LinearSVC()),
    "chain": ClassifierChain(LogisticRegression()),
    "pipeline": make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)),
}


def log_p(p: Any, y: Any) -> Any:
    """Sum over labels of the log-probability of the right one."""
    with np.errstate(divide="ignore"):
        return np.log(np.where(y == 1, p, 1 - p)).sum(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_of_labels_is_audited(name: str) -> None:
    facts = mw.audit(model=CLASSIFIERS[name], data=(X, Y), **FEW).to_dict()
    assert {attack["name"] for attack in facts["attacks"]} == {"gap", "loss"}
    assert 0.5 < facts["target"]["test_auroc"] <= 1


@pytest.mark.slow
def test_forest_that_is_given_has_scikit_learns_figures(tmp_path: Path) -> None:
    saw = np.arange(120)
    forest = RandomForestClassifier(20, min_samples_leaf=3, random_state=0).fit(X[saw], Y[saw])
    data: dict[str, Any] = {"data": (X, Y), "target": forest, "train_rows": saw}
    more = {"settings": {"shadow.allow_size_mismatch": True}, "out": tmp_path}
    result = mw.audit(**data, **FEW | more)
    p = np.stack([part[:, 1] for part in forest.predict_proba(X)], 1)
    rows = result.scores["index"].to_numpy()
    assert np.corrcoef(result.scores["loss"], log_p(p, Y)[rows])[0, 1] > 0.99
    test = rows[result.scores["member"] == 0]
    wanted = np.mean([roc_auc_score(Y[test, label], p[test, label]) for label in range(3)])
    assert result.parts.target.test_auroc == pytest.approx(wanted, abs=1e-6)


def test_label_that_never_occurs_has_probability_nought() -> None:
    y = Y.copy()
    y[:, 1] = 0
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    answers = LabelSetEstimators([forest], 3).predict(X)[0]
    assert answers.shape == (240, 3)
    assert (answers[:, 1] == 0).all()
    np.testing.assert_array_equal(answers[:, 2], forest.predict_proba(X)[2][:, 1])


def test_network_of_scikit_learn_answers_a_matrix() -> None:
    network = MLPClassifier((4,), max_iter=2000, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(LabelSetEstimators([network], 3).predict(X)[0], network.predict_proba(X))


@pytest.mark.slow
def test_pipeline_on_raw_columns_of_a_table_works() -> None:
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(**{f"y{i}": Y[:, i] for i in range(3)})
    facts = mw.audit(model=CLASSIFIERS["pipeline"], data=frame, label=["y0", "y1", "y2"], **FEW).to_dict()
    assert facts["data"]["class_names"] == ["y0", "y1", "y2"]


def test_classifier_of_one_class_is_refused_before_training() -> None:
    with pytest.raises(StudyError, match="one class a record"):
        mw.audit(model=LogisticRegression(), data=(X, Y), **FEW)
