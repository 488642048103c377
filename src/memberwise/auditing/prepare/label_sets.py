"""What goes with several binary labels a record, and what does not."""

from __future__ import annotations

from memberwise.defences.training.registry import find_defence
from memberwise.errors import StudyError
from memberwise.models.build import Model
from memberwise.study.schema import Study

BY_ITSELF = "audit each label by itself: its column as the label, with a model of two classes"


def check_label_sets(study: Study, model: Model) -> None:
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
        (model.kind == "estimator", model.name, "model.name", "a network, or a function train(x, y, seed) -> predict"),
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
