"""Early stopping: the baseline that any other regulariser has to beat."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from memberwise.defences.training.base import Options, TrainingDefence, set_alone


class EarlyStopping(Options):
    """``patience``: epochs without a smaller validation loss after which a model stops; fewer hide more.

    The model keeps the parameters with which that loss was smallest, so patience decides less than one may think.
    """

    patience: Annotated[int, Field(ge=1)] = 3


def settings(options: EarlyStopping, study: dict[str, object]) -> dict[str, object]:
    """Raises StudyError where the study says something else itself."""
    return set_alone("early-stopping", "patience", options.patience, "training.patience", study)


DEFENCE = TrainingDefence(
    name="early-stopping",
    options=EarlyStopping,
    summary="Training ends where the loss on validation records was smallest.",
    source="Song and Mittal 2021: about as good as adversarial regularisation",
    settings=settings,
    roles=("validation",),
    grid=tuple({"patience": value} for value in (10, 3, 1)),
)
