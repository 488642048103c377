"""Classifiers of scikit-learn and its like, asked in the data's own labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from memberwise.data.labels import ClassLabels
from memberwise.data.rows import TableRows
from memberwise.errors import StudyError, TargetError, TrainingError
from memberwise.models.build import fresh, model_of
from memberwise.study.schema import ModelConfig
from memberwise.targets.estimators import EstimatorModels, class_margins, known_columns
from memberwise.training.estimators import fit_estimator

X, Y = load_iris(return_X_y=True)
VALUES = [np.array([-1, 1, 5]), np.array([1.0, 2.0, 3.0]), np.array(["a", "b", "c"]), np.array(["a", "b", "c"], object)]


def labels_of(values: np.ndarray) -> ClassLabels:
    return ClassLabels.of([str(value) for value in values], values)


@pytest.mark.parametrize("values", VALUES)
def test_answers_are_the_same_by_any_labels(values: np.ndarray) -> None:
    labels = labels_of(values)
    fitted = fit_estimator(RandomForestClassifier(5), X, Y, labels, 3)
    assert fitted.classes_.tolist() == values.tolist()
    direct = RandomForestClassifier(5, random_state=3).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(EstimatorModels([fitted], labels).predict(X)[0], direct)


@pytest.mark.parametrize("values", VALUES)
def test_classes_that_a_model_never_saw(values: np.ndarray) -> None:
    """Probability 0; a margin below all others; never answered."""
    labels, seen = labels_of(values), Y != 1
    forest = RandomForestClassifier(5, random_state=0).fit(X[seen], values[Y[seen]])
    answers = EstimatorModels([forest], labels).predict(X)[0]
    assert (answers[:, 1] == 0).all()
    np.testing.assert_array_equal(answers[:, [0, 2]], forest.predict_proba(X))
    machine = EstimatorModels([LinearSVC().fit(X[seen], values[Y[seen]])], labels)
    assert (machine.predict(X)[0].argmin(1) == 1).all()
    machine.kind = "labels"
    assert set(machine.predict(X)[0]) == {0, 2}


def test_classes_of_other_data_are_named() -> None:
    forest = RandomForestClassifier(2).fit(X, np.array(["a", "b", "z"])[Y])
    with pytest.raises(TargetError, match=r"(?s)none of the data's classes.*'a', 'b', 'c'.*'a', 'b', 'z'.*what to do"):
        EstimatorModels([forest], labels_of(VALUES[2]))
    numbers = RandomForestClassifier(2).fit(X, Y)
    with pytest.raises(TargetError, match="none of the data's classes"):
        EstimatorModels([numbers], ClassLabels.of(("1", "2", "3"), np.array([1, 2, 3])))


def test_several_labels_a_record_are_refused() -> None:
    for fitted in (
        MultiOutputClassifier(LogisticRegression(max_iter=500)).fit(X, np.c_[Y, Y]),
        OneVsRestClassifier(LogisticRegression(max_iter=500)).fit(X, np.c_[Y == 0, Y == 1, Y == 2].astype(int)),
    ):
        with pytest.raises(TargetError, match="several labels a record"):
            EstimatorModels([fitted], ClassLabels.numbered(3))


def test_two_margins_are_the_one_shared_out() -> None:
    machine = LinearSVC().fit(X, Y == 2)
    models = EstimatorModels([machine], ClassLabels.of(("0", "1"), np.array([False, True])))
    assert models.kind == "logits"
    assert models.remarks == ("margins",)
    answers = models.predict(X)[0]
    np.testing.assert_allclose(answers[:, 1] - answers[:, 0], machine.decision_function(X))
    np.testing.assert_allclose(answers.sum(1), 0, atol=1e-12)
    np.testing.assert_array_equal(answers.argmax(1), machine.predict(X))


@pytest.mark.parametrize("classes", [3, 4, 6])
def test_margins_of_pairs_are_votes_as_scikit_learn_counts_them(classes: int) -> None:
    rng = np.random.default_rng(classes)
    x = rng.normal(size=(120, 3))
    y = rng.integers(0, classes, 120)
    pairs = SVC(decision_function_shape="ovo", C=10).fit(x, y)
    whole = SVC(decision_function_shape="ovr", C=10).fit(x, y)
    np.testing.assert_allclose(
        class_margins(pairs.decision_function(x), classes, "ovo"), whole.decision_function(x), atol=1e-9
    )
    inside = make_pipeline(StandardScaler(with_mean=False, with_std=False), pairs)
    labels = ClassLabels.numbered(classes)
    np.testing.assert_allclose(
        EstimatorModels([inside.fit(x, y)], labels).predict(x), EstimatorModels([whole], labels).predict(x), atol=1e-9
    )


def test_labels_that_are_no_classes_are_named() -> None:
    class Odd(LogisticRegression):  # type: ignore[misc]
        predict_proba = decision_function = property()

        def predict(self, x: Any) -> Any:
            return np.full(len(x), 0.5)

    with pytest.raises(TargetError, match=r"(?s)labels that are none of the data's classes.*found: 0.5"):
        EstimatorModels([Odd(max_iter=500).fit(X, Y)], ClassLabels.numbered(3)).predict(X)


def test_what_a_model_raises_is_told() -> None:
    fitted = LogisticRegression(max_iter=500).fit(X, Y)
    with pytest.raises(TrainingError, match=r"(?s)LogisticRegression fails to answer.*what to do"):
        EstimatorModels([fitted], ClassLabels.numbered(3)).predict(X[:, :2])


@pytest.mark.parametrize(
    "estimator", [Ridge(), make_pipeline(StandardScaler(), Ridge()), StandardScaler()], ids=lambda e: type(e).__name__
)
def test_what_is_no_classifier_is_refused(estimator: Any) -> None:
    for thing in (estimator, lambda: estimator):
        with pytest.raises(StudyError, match="is no classifier"):
            model_of(thing, ModelConfig(), (4,), 3, "it")


def test_weights_by_label_are_never_put_on_numbers() -> None:
    """A failing fit is not saved by numbers where a parameter speaks of labels."""
    wrong = LogisticRegression(class_weight={0: 5.0, 9: 1.0})
    with pytest.raises(ValueError, match="class_weight"):
        fit_estimator(wrong, X, Y, labels_of(VALUES[2]), 0)


def boosters() -> list[Any]:
    return [
        pytest.param("xgboost", "XGBClassifier", {"n_estimators": 5, "n_jobs": 1}, id="xgboost"),
        pytest.param("lightgbm", "LGBMClassifier", {"n_estimators": 5, "n_jobs": 1, "verbose": -1}, id="lightgbm"),
        pytest.param("catboost", "CatBoostClassifier", {"iterations": 5, "thread_count": 1}, id="catboost"),
    ]


@pytest.mark.parametrize(("library", "name", "parameters"), boosters())
@pytest.mark.parametrize("values", VALUES)
def test_boosters_by_any_labels(
    library: str, name: str, parameters: dict[str, Any], values: np.ndarray, capfd: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    """XGBoost refuses labels but 0, 1, 2 ...: its answers are put back. Files and standard output stay clean."""
    make = getattr(pytest.importorskip(library), name)
    monkeypatch.chdir(tmp_path)
    labels, some = labels_of(values), np.flatnonzero(Y != 1)
    for rows in (np.arange(len(Y)), some):
        fitted = fit_estimator(make(**parameters), X[rows], Y[rows], labels, 2**32 - 1)
        models = EstimatorModels([fitted], labels)
        answers = models.predict(X)[0]
        np.testing.assert_allclose(answers.sum(1), 1, atol=1e-5)
        assert (values[answers.argmax(1)[rows]] == values[Y[rows]]).mean() > 0.9
        assert ("numbered-labels" in models.remarks) == (library == "xgboost")
        assert (answers[:, 1] == 0).all() == (len(rows) < len(Y))
    assert not list(tmp_path.iterdir())
    assert not capfd.readouterr().out


@pytest.mark.parametrize(("library", "name", "parameters"), boosters())
def test_names_that_boosters_make_up_are_no_columns(library: str, name: str, parameters: dict[str, Any]) -> None:
    make = getattr(pytest.importorskip(library), name)
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    quiet: dict[str, Any] = parameters | ({"verbose": 0, "allow_writing_files": False} if library == "catboost" else {})
    assert known_columns(make(**quiet).fit(X, Y), list(frame)) == []  # type: ignore[arg-type]
    fitted = make(**quiet).fit(frame[["c", "a"]], Y)
    assert known_columns(fitted, list(frame)) == ["c", "a"]  # type: ignore[arg-type]
    rows = TableRows.of(frame)
    answers = EstimatorModels([fitted], ClassLabels.numbered(3), rows).predict(rows.numbers(frame))[0]
    np.testing.assert_allclose(answers, fitted.predict_proba(frame[["c", "a"]]))


def test_catboost_is_made_anew_with_its_lists_of_columns() -> None:
    make = pytest.importorskip("catboost").CatBoostClassifier
    again = fresh(make(cat_features=["sex"], iterations=3))
    assert again.get_params() == {"cat_features": ["sex"], "iterations": 3}
