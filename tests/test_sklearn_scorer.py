"""The scorer for scikit-learn's searches: against the loss attack written out, and through GridSearchCV."""

import doctest
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier

import memberwise.sklearn
from memberwise.errors import DataError, StudyError
from memberwise.sklearn import leakage_scorer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
Y = np.where(X[:, 0] + RNG.normal(size=120) > 0, "ill", "well")


@pytest.mark.parametrize("form", [np.asarray, pd.DataFrame])
def test_score_is_minus_the_auc_of_the_loss_attack(form: Any) -> None:
    x = form(X)
    test = np.arange(120) % 3 == 0
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(x[~test], Y[~test])
    p = model.predict_proba(x)[np.arange(120), (Y == "well").astype(int)]
    assert leakage_scorer(x, Y)(model, x[test], Y[test]) == pytest.approx(-roc_auc_score(~test, p), abs=1e-9)


def test_search_prefers_the_setting_that_tells_less() -> None:
    scorer = leakage_scorer(X, Y)
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [None, 1]}, scoring=scorer, cv=3)
    assert search.fit(X, Y).best_params_ == {"max_depth": 1}
    assert search.cv_results_["mean_test_score"][0] < -0.6


def test_margins_serve_where_there_are_no_probabilities() -> None:
    model = RidgeClassifier().fit(X[:60], Y[:60])
    margin = model.decision_function(X) * np.where(Y == "well", 1, -1)
    expected = -roc_auc_score(np.arange(120) < 60, margin)
    assert leakage_scorer(X, Y)(model, X[60:], Y[60:]) == pytest.approx(expected, abs=1e-9)


def test_regression_and_foreign_records_are_refused() -> None:
    with pytest.raises(StudyError, match="numbers with fractions"):
        leakage_scorer(X, X[:, 0])
    model = DecisionTreeClassifier().fit(X, Y)
    with pytest.raises(DataError, match="none of the scorer's"):
        leakage_scorer(X, Y)(model, X + 1, Y)


def test_example_of_the_docstring_runs() -> None:
    assert doctest.testmod(memberwise.sklearn.scorer).failed == 0
