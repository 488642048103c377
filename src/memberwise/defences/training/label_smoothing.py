"""Label smoothing: labels with some probability on every class; a comparison."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from memberwise.defences.training.base import Options, TrainingDefence, set_alone


class LabelSmoothing(Options):
    """``amount``: share of each label that is spread over all classes, the true one included."""

    amount: Annotated[float, Field(ge=0, lt=1)] = 0.1


def settings(options: LabelSmoothing, study: dict[str, object]) -> dict[str, object]:
    """Raises StudyError where the study says something else itself."""
    return set_alone("label-smoothing", "amount", options.amount, "training.label_smoothing", study)


DEFENCE = TrainingDefence(
    name="label-smoothing",
    options=LabelSmoothing,
    summary="Labels with some probability on every class.",
    source="Szegedy et al. 2016",
    reported="more leakage (Kaya and Dumitras 2021)",
    settings=settings,
    grid=tuple({"amount": value} for value in (0.05, 0.1, 0.3)),
)
