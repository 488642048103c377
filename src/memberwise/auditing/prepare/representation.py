"""What models are given of the records, by what they know of the columns and what they take when tried."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from memberwise.auditing.prepare.estimator_trial import Trial
from memberwise.auditing.prepare.forms import How, Representation
from memberwise.auditing.prepare.inputs import Inputs
from memberwise.data import Dataset, Roles, check_dataset, encode
from memberwise.data.dataset import as_float
from memberwise.errors import Note, TargetError
from memberwise.models.build import Model, refuse_no_classifier
from memberwise.study.schema import Study
from memberwise.targets.boosters import BOOSTERS, load_booster
from memberwise.targets.estimators import known_columns
from memberwise.targets.label_set_estimators import estimator_models
from memberwise.targets.skops_files import load_skops

WORDS = {
    "numbers": "numbers encoded here",
    "rows": "the table's own rows, columns as they are in the data",
    "texts": "the table's one column, as it is in the data",
    "values": "the columns' own values, not encoded",
}


@dataclass(frozen=True, eq=False)
class Representations:
    """What the target and what the shadow models are given, and what the report says of it."""

    target: Representation
    models: Representation
    notes: list[Note]


def fitted_target(study: Study, inputs: Inputs) -> object | None:
    """The target where it is a fitted estimator: an object, or from a skops file or a booster's own.

    Raises:
        StudyError: it is no classifier.
    """
    target = inputs.target
    if target is None and study.target.file is not None:
        path = Path(study.target.file)
        if path.suffix.lower() == ".skops":
            target = load_skops(path, study.target.trust)
        elif path.suffix.lower() in BOOSTERS:
            target = load_booster(path)
    if target is None or isinstance(target, nn.Module) or not hasattr(target, "predict"):
        return None
    refuse_no_classifier(target, "target")
    classes = getattr(target, "classes_", None)
    return None if classes is None or len(classes) == 0 else target


def representations_for(
    study: Study, inputs: Inputs, target: object | None, model: Model, dataset: Dataset, roles: Roles
) -> Representations:
    """What each side is given; the records are checked for what these models do not take.

    A fitted estimator that knows its columns by name is given the table's rows; one fitted on arrays of as many
    numbers as the table has columns, all of them numbers, the columns' own values. An unfitted pipeline, or an
    estimator that takes categories or missing values as they are, is given rows if it takes them when tried; any
    other estimator, and all else, numbers encoded here.

    Raises:
        DataError: the columns cannot be encoded, or values are missing and the models do not take that.
        TargetError: the target knows columns that the table does not have.
    """
    # What the target knows of the columns is what the shadow models are given of them.
    columns = (
        [] if target is None or dataset.frame is None else known_columns(target, [str(name) for name in dataset.frame])
    )
    trial = Trial(model, dataset, roles, columns)
    of_target = None if target is None else _of_target(target, dataset)
    of_models = _of_model(trial, of_target)
    raw = study.target.endpoint is not None and study.target.records == "raw"
    if of_target is None:
        trained = inputs.target is not None or study.target.given
        of_target = "numbers" if trained and not (raw and of_models in ("rows", "texts")) else of_models
    if "numbers" in (of_target, of_models):
        _check_numbers(dataset, roles, trial, target, of_target, of_models)
    target_input = Representation.of(dataset, of_target, columns)
    models_input = target_input if of_models == of_target else Representation.of(dataset, of_models, columns)
    trained_elsewhere = inputs.target is not None or study.target.file is not None or (study.target.given and not raw)
    return Representations(target_input, models_input, _notes(trial, of_target, of_models, trained_elsewhere))


def _notes(trial: Trial, of_target: How, of_models: How, trained_elsewhere: bool) -> list[Note]:
    if trial.dataset.frame is None:
        return []
    notes: list[Note] = []
    if of_target == of_models != "numbers":
        notes.append(Note("frame-rows", f"the target and the shadow models are given {WORDS[of_models]}"))
    elif of_target != of_models:
        notes.append(
            Note(
                "frame-rows",
                f"the target is given {WORDS[of_target]}; the shadow models ({trial.model.name}) "
                f"{WORDS[of_models]}: unlike inputs make attacks weaker than they are",
            )
        )
    elif trial.composite:
        notes.append(
            Note(
                "encoded-table",
                f"{trial.model.name} does not take the table's own rows, so it is given {WORDS['numbers']}",
            )
        )
    if of_target == "numbers" and trained_elsewhere:
        notes.append(
            Note(
                "target-encoding",
                "the table's columns were encoded here, not as the target's owner did: if the target's accuracy below "
                "is not the one you know, give the records as the target takes them (.npz, or module:function)",
            )
        )
    return notes


def _of_target(target: object, dataset: Dataset) -> How:
    if dataset.frame is None:
        return "numbers"
    columns = [str(column) for column in dataset.frame]
    names = known_columns(target, columns)
    missing = [name for name in names if name not in columns]
    if missing:
        raise TargetError(
            f"{type(target).__name__} was fitted on columns that the table does not have",
            expected=", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else ""),
            found=f"no {', '.join(missing[:8])} among " + ", ".join(columns[:8]),
            where=dataset.source,
            fix="give the table as it was when the target was fitted, before anything else encoded it",
        )
    if names:
        return "rows"
    width = getattr(target, "n_features_in_", None)
    if width == len(columns) and all(pd.api.types.is_numeric_dtype(kind) for kind in dataset.frame.dtypes):
        return "values"
    if width is None or width != dataset.x.shape[1]:
        for how in ("rows", "texts"):
            if _answers(target, dataset, how):
                return how
    return "numbers"


def _answers(target: object, dataset: Dataset, how: How) -> bool:
    """The fitted estimator answers about the first records, given so."""
    data = Representation.of(dataset, how)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator_models([target], dataset, data.rows).predict(data.x[:8])
    except Exception:
        return False
    return True


def _of_model(trial: Trial, of_target: How | None) -> How:
    model, dataset = trial.model, trial.dataset
    if model.kind != "estimator" or dataset.frame is None:
        return "numbers"
    if of_target in ("rows", "texts", "values") and trial.works(of_target):
        return of_target
    encoded = dataset.feature_names is not None
    if trial.composite:
        for how in ("rows", "texts"):
            if trial.works(how):
                return how
        return "numbers" if encoded and trial.works("numbers") else "rows"
    special = trial.has_missing or not all(pd.api.types.is_numeric_dtype(kind) for kind in dataset.frame.dtypes)
    if special and trial.native and trial.works("rows"):
        return "rows"
    if not trial.known and not (encoded and trial.works("numbers")) and trial.works("rows"):
        return "rows"
    return "numbers"


def _check_numbers(
    dataset: Dataset, roles: Roles, trial: Trial, target: object | None, of_target: How, of_models: How
) -> None:
    """Raises:
    DataError: the columns cannot be encoded, or are missing values that a model does not take.
    """
    if (dataset.x.dtype.kind == "f" and np.isnan(dataset.x).any()) or not _encoded(dataset):
        takes = (of_models != "numbers" or trial.works("numbers")) and (
            target is None or of_target != "numbers" or _answers_missing(target, dataset)
        )
        if _encoded(dataset) and takes:
            return
        encode(dataset, roles.fit_rows)  # says which column
        check_dataset(dataset)


def _answers_missing(target: object, dataset: Dataset) -> bool:
    gaps = np.flatnonzero(np.isnan(dataset.x).reshape(dataset.records, -1).any(1))[:8]
    try:
        estimator_models([target], dataset).predict(as_float(dataset.x[gaps]))
    except Exception:
        return False
    return True


def _encoded(dataset: Dataset) -> bool:
    return dataset.frame is None or dataset.feature_names is not None
