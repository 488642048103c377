"""Leakage beside accuracy in scikit-learn's searches: ``leakage_scorer`` for ``GridSearchCV`` and its like."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pandas as pd

from memberwise.data.labels import ClassLabels
from memberwise.errors import DataError, StudyError
from memberwise.statistics.auc import auc
from memberwise.targets.estimators import columns_of
from memberwise.types.arrays import Array, Floats
from memberwise.types.foreign import Estimator, Values

Scorer = Callable[[Estimator, Values, Values], float]
# Fewer records on a side tell nothing.
FEWEST = 5


def leakage_scorer(x: Values, y: Values) -> Scorer:
    """A scorer of what a fitted classifier gives away: minus the AUC of the loss attack, -0.5 where that only guesses.

    Of a fold's classifier the records of the fold are non-members and all others of ``x`` its members, as in
    cross-validation. It asks no shadow models, so it is a quick lower mark for choosing between settings; the chosen
    model is audited by ``memberwise.audit``. Regression has no such scorer.

    Args:
        x: all records that the search is given, ``(n, ...)`` or a DataFrame. y: their ``(n,)`` labels.

    Returns:
        ``scorer(estimator, x_test, y_test)``, in [-1, 0], higher is better; for ``scoring=`` with
        ``return_train_score=False``.

    Raises:
        StudyError: the labels are numbers with fractions: this is no classification.

    Examples:
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.model_selection import GridSearchCV
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> from memberwise.sklearn import leakage_scorer
        >>> x, y = load_breast_cancer(return_X_y=True)
        >>> scoring = {"accuracy": "accuracy", "leakage": leakage_scorer(x, y)}
        >>> depths = {"max_depth": [1, None]}
        >>> tree = DecisionTreeClassifier(random_state=0)
        >>> search = GridSearchCV(tree, depths, scoring=scoring, refit="accuracy", cv=3)
        >>> shallow, deep = search.fit(x, y).cv_results_["mean_test_leakage"].round(2)
        >>> bool(shallow > deep)
        True
    """
    labels = np.asarray(y)
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.rint(labels)):
        raise StudyError(
            "leakage is told of classifiers, and these labels are numbers with fractions",
            expected="classes",
            found=f"{labels.dtype}, such as {labels[labels != np.rint(labels)][0]:g}",
            where="y",
            fix="of a regression there is no attack here; classes of its target (above the median, say) can be audited",
        )
    names, numbers = np.unique(labels, return_inverse=True)
    classes, keys = ClassLabels(tuple(map(str, names)), names), _keys(x)

    def score(estimator: Estimator, x_test: Values, y_test: Values = None) -> float:
        in_fold = np.isin(keys, _keys(x_test))
        if len(x_test) and not in_fold.any():
            raise DataError(
                "the records of the fold are none of the scorer's",
                expected="leakage_scorer(x, y) with the x and y that the search is given",
                where="leakage_scorer",
            )
        if min(in_fold.sum(), (~in_fold).sum()) < FEWEST:
            return float("nan")
        loss = _log_p(estimator, x, numbers, classes)
        return -auc(loss, ~in_fold).value

    return score


def _log_p(estimator: Estimator, x: Values, numbers: Array, classes: ClassLabels) -> Floats:
    """``(n,)``: log-probability of the true class; of an estimator without probabilities its margin."""
    rows = np.arange(len(numbers))
    if hasattr(estimator, "predict_proba"):
        answers = np.zeros((len(numbers), len(classes)))
        answers[:, columns_of(estimator, classes)] = estimator.predict_proba(x)
        return np.log(np.maximum(answers[rows, numbers], 1e-30))
    if hasattr(estimator, "decision_function"):
        margins = np.asarray(estimator.decision_function(x), np.float64)
        if margins.ndim == 1:
            return np.where(columns_of(estimator, classes)[1] == numbers, margins, -margins)
        answers = np.full((len(numbers), len(classes)), margins.min() - 1)
        answers[:, columns_of(estimator, classes)] = margins
        true_class = answers[rows, numbers]
        answers[rows, numbers] = -np.inf
        return np.asarray(true_class - answers.max(1))
    return np.asarray(classes.numbers_of(estimator.predict(x)) == numbers, np.float64)


def _keys(x: Values) -> Array:
    """``(n,)`` a key for each record: equal records have equal ones."""
    if isinstance(x, (pd.DataFrame, pd.Series)):
        return np.asarray(pd.util.hash_pandas_object(x, index=False))
    if hasattr(x, "tocsr"):
        x = x.toarray()
    rows = np.asarray(x)
    if rows.dtype.kind == "O":
        rows = rows.astype(str)
    return np.array([hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=12).hexdigest() for row in rows])
