"""Dropout: units fall out at random while the model trains."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from memberwise.defences.training.base import Options, TrainingDefence, set_alone
from memberwise.errors import StudyError
from memberwise.models.modules import ARCHITECTURES
from memberwise.types.parts import Plain


class Dropout(Options):
    """``rate``: the share of units which fall out in each step; more hides more."""

    rate: Annotated[float, Field(ge=0, lt=1)] = 0.5


def settings(options: Dropout, study: Plain) -> Plain:
    """Raises StudyError for an architecture without dropout, for a model of the user's own, and where the study says
    another rate.
    """
    name = study["model"]["name"]
    if name not in ARCHITECTURES or "dropout" not in ARCHITECTURES[name].takes:
        raise StudyError(
            "dropout is set in an architecture that has it",
            expected="model.name = " + ", ".join(n for n, a in ARCHITECTURES.items() if "dropout" in a.takes),
            found=name,
            where="training.defence",
            fix="put dropout into a model of your own: file.py:function",
        )
    return set_alone("dropout", "rate", options.rate, "model.dropout", study)


DEFENCE = TrainingDefence(
    name="dropout",
    options=Dropout,
    summary="Units fall out at random while the model trains.",
    source="Srivastava et al. 2014; as a defence Salem et al. 2019",
    settings=settings,
    grid=tuple({"rate": value} for value in (0.25, 0.5, 0.75)),
)
