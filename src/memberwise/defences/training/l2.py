"""L2 regularisation: large weights cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from memberwise.defences.training.base import Options, TrainingDefence, set_alone


class L2(Options):
    """``strength`` lambda: the loss has lambda / 2 times the sum of squares of all parameters added; more hides more.

    Shokri et al. count lambda without the half, so their 1e-3 is 2e-3 here. With optimizer = "adamw" the weights decay
    beside the gradient instead.
    """

    strength: Annotated[float, Field(ge=0)] = 1e-3


def settings(options: L2, study: dict[str, object]) -> dict[str, object]:
    """Raises StudyError where the study says something else itself."""
    return set_alone("l2", "strength", options.strength, "training.weight_decay", study)


DEFENCE = TrainingDefence(
    name="l2",
    options=L2,
    summary="Large weights cost: weight decay in every step.",
    source="Shokri et al. 2017, section VIII.A",
    settings=settings,
    grid=tuple({"strength": value} for value in (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
)
