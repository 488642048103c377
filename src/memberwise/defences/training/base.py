"""What a training defence is: a way to train, with what it asks for and what it promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import nn

from memberwise.defences.measured import raised_leakage
from memberwise.errors import Note, StudyError
from memberwise.study.schema import Study
from memberwise.training.job import Procedure
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.types.parts import Plain


class Options(BaseModel):
    """Parameters of a defence; unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Fit:
    """What a defence may know about the training it changes.

    Attributes:
        classes: number of classes; rows: records the target trains on.
        recipe: epochs, batches, optimiser; label_smoothing: ``training.label_smoothing``.
        shape: of one record.
    """

    classes: int
    rows: int
    recipe: Recipe
    label_smoothing: float = 0.0
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class TrainingDefence:
    """One training defence; exactly what differs from plain training is given.

    Attributes:
        options: its parameters, with their defaults.
        summary: one plain sentence; source: paper, section or equation.
        step: the training step that replaces the plain one.
        procedure: trains several models to release one.
        settings: study keys it sets ("training.weight_decay", say), from the options and the study's values.
        answer: output defences that belong to it, as in the study's ``answer`` list; they come first there.
        roles: records it cannot do without: "reference", "validation".
        check: refuses (StudyError) a module or recipe it cannot have, and gives the (code, message) notes which the
            report must show: what a guarantee holds for, say.
        guarantee: what is proved about it.
        bound: the epsilon and delta it promises, from the options and the training; None where it promises none.
        reported: what a publication found it to do to leakage, where that is the opposite of a defence's purpose; what
            was measured here is in memberwise.defences.measured, and marks come from there alone.
        grid: options worth trying, from the weakest to the strongest, for the frontier; ``training`` among them is a
            table of recipe keys of that point's own.
        alters_records: models are trained on changed or made-up records, which token ids would not survive.
        extra: the package it cannot do without, and the extra of memberwise that brings it.
    """

    name: str
    options: type[Options]
    summary: str
    source: str
    step: Callable[[Any, Fit], Step] | None = None
    procedure: Callable[[Any, Fit], Procedure] | None = None
    settings: Callable[[Any, Plain], Plain] | None = None
    answer: Callable[[Any], list[Plain]] | None = None
    roles: tuple[str, ...] = ()
    alters_records: bool = False
    check: Callable[[Any, Fit, nn.Module], list[Note]] | None = None
    guarantee: str = "none"
    reported: str = ""
    bound: Callable[[Any, Fit], tuple[float, float] | None] | None = None
    grid: tuple[Plain, ...] = ({},)
    extra: tuple[str, str] | None = None

    @property
    def raises_leakage(self) -> bool:
        """It was measured to make models give away more, somewhere."""
        return bool(raised_leakage(self.name))


def set_alone(name: str, parameter: str, value: object, key: str, study: Plain) -> Plain:
    """The setting ``key = value`` by a defence's parameter, where the study says nothing else about the key.

    Raises:
        StudyError: the study has a value of its own there, which would be lost.
    """
    part, option = key.split(".")
    setting, default = study[part][option], getattr(getattr(Study(), part), option)
    if setting not in (default, value):
        raise StudyError(
            f"{name} sets {key} itself",
            expected=f"{key} left out, or the same as training.defence.{parameter}",
            found=f"{key} = {setting!r} and training.defence.{parameter} = {value!r}",
            where="training.defence",
            fix=f"leave {key} out, or set training.defence.{parameter}={setting!r}",
        )
    return {key: value}
