"""XGBoost, LightGBM and CatBoost models from their own files, read by their own loaders: data, no code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from memberwise.errors import MemberwiseError, MissingExtraError, TargetError
from memberwise.types.arrays import Array
from memberwise.types.foreign import Estimator, LightGbmBooster, Values

# Parameters of LightGBM's file by what its classifier calls them.
KEPT = {
    "num_leaves": "num_leaves",
    "max_depth": "max_depth",
    "learning_rate": "learning_rate",
    "min_data_in_leaf": "min_child_samples",
    "lambda_l2": "reg_lambda",
    "lambda_l1": "reg_alpha",
    "feature_fraction": "colsample_bytree",
}


class LoadedLightGbm:
    """A LightGBM booster as a fitted classifier, which its own class cannot be made from a file.

    Attributes:
        classes_: ``(C,)`` class numbers, which are all that the file has of the labels.
        told_: a classifier to be fitted, with as many rounds and what else the file tells of its parameters.
    """

    _estimator_type = "classifier"
    told_: Estimator

    def __init__(self, booster: LightGbmBooster) -> None:
        self.booster_ = booster
        self.n_features_in_ = booster.num_feature()
        classes = booster.num_model_per_iteration()
        self.classes_ = np.arange(2 if classes == 1 else classes)
        self.feature_names_in_ = np.array(booster.feature_name(), object)

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """None: the file has the trees, not how they were asked for."""
        return {}

    def predict_proba(self, x: Values) -> Array:
        """``(n, C)`` probabilities of ``(n, features)`` records."""
        answers = np.asarray(self.booster_.predict(x))
        return np.stack([1 - answers, answers], 1) if answers.ndim == 1 else answers

    def predict(self, x: Values) -> Array:
        """``(n,)`` class numbers of ``(n, features)`` records."""
        return np.asarray(self.classes_[self.predict_proba(x).argmax(1)])


def unfitted(estimator: Estimator) -> Estimator:
    """An unfitted estimator with the same parameters; of a booster's own file, with those that the file tells."""
    return getattr(estimator, "told_", estimator)


def _xgboost(path: Path) -> Estimator:
    import xgboost

    model = xgboost.XGBClassifier()
    model.load_model(str(path))
    trees = model.get_booster().get_dump()
    depth = max((line.count("\t") for tree in trees for line in tree.splitlines()), default=0)
    rounds = model.get_booster().num_boosted_rounds()
    model.told_ = xgboost.XGBClassifier(n_estimators=rounds, max_depth=max(depth, 1))
    return model


def _lightgbm(path: Path) -> Estimator:
    import lightgbm

    model = LoadedLightGbm(lightgbm.Booster(model_file=str(path)))
    parameters = {KEPT[name]: value for name, value in model.booster_.params.items() if name in KEPT}
    model.told_ = lightgbm.LGBMClassifier(n_estimators=model.booster_.current_iteration(), verbose=-1, **parameters)
    return model


def _catboost(path: Path) -> Estimator:
    import catboost

    model = catboost.CatBoostClassifier()
    model.load_model(str(path))
    return model


# By the file's ending: the library, and what loads it.
BOOSTERS: dict[str, tuple[str, Callable[[Path], Estimator]]] = {
    ".json": ("xgboost", _xgboost),
    ".ubj": ("xgboost", _xgboost),
    ".txt": ("lightgbm", _lightgbm),
    ".cbm": ("catboost", _catboost),
}


def load_booster(path: Path) -> Estimator:
    """The fitted classifier of a booster's own file.

    Raises:
        TargetError: it is no such file, or no classifier. MissingExtraError: the library is not installed.
    """
    library, load = BOOSTERS[path.suffix.lower()]
    try:
        return load(path)
    except ImportError:
        raise MissingExtraError.of(library, "boosting", f"the target {path}") from None
    except MemberwiseError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise TargetError(
            f"{path} is no {library} classifier",
            expected=f"what {library}'s save_model wrote of a classifier",
            found=f"{type(error).__name__}: {first[:200]}",
            where="target.file",
        ) from error
