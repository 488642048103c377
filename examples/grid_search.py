"""Choose a classifier by accuracy and by what it gives away, then look into the one that was chosen."""

from typing import Any

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV

import memberwise as mw
from memberwise.sklearn import leakage_scorer


def main(trees: int = 50) -> Any:
    x, y = load_breast_cancer(return_X_y=True)
    scoring = {"accuracy": "accuracy", "leakage": leakage_scorer(x, y)}
    leaves = {"min_samples_leaf": [1, 5, 20]}
    search = GridSearchCV(
        RandomForestClassifier(trees, random_state=0), leaves, scoring=scoring, refit="accuracy", cv=3
    )
    return search.fit(x, y)


if __name__ == "__main__":
    search = main()
    for name in ("param_min_samples_leaf", "mean_test_accuracy", "mean_test_leakage"):
        print(name, list(search.cv_results_[name]))
    print(mw.inspect(search.best_estimator_))
