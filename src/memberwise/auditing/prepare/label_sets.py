"""What goes with several binary labels a record, and what does not."""

from __future__ import annotations

import warnings

import numpy as np

from memberwise.data import Dataset
from memberwise.data.dataset import as_float
from memberwise.defences.training.registry import find_defence
from memberwise.errors import MemberwiseError, StudyError
from memberwise.models.build import Model
from memberwise.study.schema import Study
from memberwise.targets.label_set_estimators import LabelSetEstimators
from memberwise.training.estimators import fit_estimator

# Records on which an estimator is tried.
TRIED = 60
BY_ITSELF = "audit each label by itself: its column as the label, with a model of two classes"


def check_label_sets(study: Study, model: Model, dataset: Dataset) -> None:
    """Refuse what is made for one class a record.

    Raises:
        StudyError: with what to do.
    """
    training = study.training
    loss_of_its_own = False
    if training.defence is not None:
        defence, _ = find_defence(training.defence)
        loss_of_its_own = defence.step is not None or defence.procedure is not None
    refused: list[tuple[bool, str, str, str]] = [
        (loss_of_its_own, "this training defence's loss", "training.defence", "l2, dropout or augmentation by flips"),
        (bool(study.answer), "an output defence", "answer", BY_ITSELF),
        ("mixup" in training.augment, "mixup", "training.augment", "flip, crop or cutout"),
        (training.patience is not None, "early stopping", "training.patience", "a fixed number of epochs"),
        (study.shadow.data == "synthetic", "synthesis of records", "shadow.data", "halves, auxiliary or noisy"),
        (study.target.endpoint is not None, "a served model", "target.endpoint", "save its answers: --outputs FILE"),
    ]
    for wrong, what, where, fix in refused:
        if wrong:
            raise StudyError(
                f"{what} is for one class a record, and these records have several labels", where=where, fix=fix
            )
    if model.kind == "estimator" and dataset.frame is None:
        _check_estimator(model, dataset)


def _check_estimator(model: Model, dataset: Dataset) -> None:
    """Refuse a classifier that cannot be fitted on several labels a record, or answers none of them."""
    rows = np.arange(min(TRIED, dataset.records))
    x, wanted = as_float(dataset.x[rows]).reshape(len(rows), -1), dataset.answers_wanted[rows]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = fit_estimator(model.make(), x, wanted, dataset.class_labels, 0)
            LabelSetEstimators([fitted], len(dataset.outputs)).predict(x)
    except Exception as error:
        problem = error.problem if isinstance(error, MemberwiseError) else str(error).strip().split("\n")[0]
        raise StudyError(
            f"{model.name} is for one class a record, and these records have several labels",
            found=f"{type(error).__name__}: {problem}",
            where="model.name",
            fix="a classifier that fits a matrix of labels (forests, trees, neighbours, MLPClassifier), "
            "MultiOutputClassifier or OneVsRestClassifier around one, a network, or a function train(x, y, seed)",
        ) from error
