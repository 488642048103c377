"""The points of a frontier: which defences are tried, with which parameters."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from memberwise.defences.output import OUTPUT_DEFENCES
from memberwise.defences.output.base import OutputDefence
from memberwise.defences.training import TRAINING_DEFENCES, find_defence
from memberwise.defences.training.base import TrainingDefence
from memberwise.entrypoint import is_entrypoint
from memberwise.errors import StudyError
from memberwise.study import DefenceStudy, Study, make_study

UNDEFENDED = "undefended"
# Before the name of an output defence where a training defence has the same.
ANSWER = "answer:"
# What ``--defences default`` tries: cheap, needing no further records, and DP-SGD, the one with a guarantee.
DEFAULT = ("l2", "relaxloss", "hamp", "weighted-smoothing", "dp-sgd", "logit-clipping", "rounding", "label-only")


@dataclass(frozen=True)
class Point:
    """One way to defend a model; ``place`` is where the defence acts."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    place: Literal["none", "training", "answer"] = "training"

    @property
    def label(self) -> str:
        """The defence and its parameters, as tables and plots show it."""
        clash = self.place == "answer" and self.name in TRAINING_DEFENCES
        return " ".join(
            [
                f"{ANSWER}{self.name}" if clash else self.name,
                *(f"{key}={_short(value)}" for key, value in self.options.items()),
            ]
        )

    @property
    def folder(self) -> str:
        """A name of its own for the point's run folder."""
        key = hashlib.sha256(json.dumps([self.name, self.options, self.place], sort_keys=True).encode()).hexdigest()
        safe = "".join(c if c.isalnum() or c == "-" else "-" for c in self.name.rpartition(":")[2])
        return f"{safe}-{key[:8]}"

    def study(self, base: Study, out: str) -> Study:
        """The audit of this point; the study's own defence, if any, gives way."""
        values = base.to_dict()
        entry = {"name": self.name, **self.options}
        values["training"]["defence"] = entry if self.place == "training" else None
        values["answer"] = [*values["answer"], entry] if self.place == "answer" else values["answer"]
        values["run"]["out"] = out
        values["defend"] = {}  # another constraint, or other points beside it, change nothing about this one
        return make_study(values, f"the point {self.label}")


def choose_points(study: Study) -> list[Point]:
    """The undefended model, the chosen defences over their grids, and the points the study adds.

    Raises:
        StudyError: an unknown defence, or one whose records the study does not set aside.
    """
    points = [Point(UNDEFENDED, {}, "none")]
    for name in study.defend.defences:
        for member in GROUPS[name]() if name in GROUPS else [name]:
            if name not in GROUPS or not lacks(member, study):
                points += _grid(member)
    for extra in study.defend.points:
        options = {key: value for key, value in extra.model_dump().items() if key != "name"}
        place, bare = _place(extra.name)
        points.append(Point(bare, options, place))
    for name in [*study.defend.defences, *(extra.name for extra in study.defend.points)]:
        if name not in GROUPS and (missing := lacks(name, study)):
            raise StudyError(
                f"{name} needs {' and '.join(missing)} records",
                where=", ".join(f"data.{role}" for role in missing),
                fix=" ".join(f"--{role} N|FILE" for role in missing),
            )
    return list({point.label: point for point in points}.values())


def _all() -> list[str]:
    answers = [f"{ANSWER}{name}" if name in TRAINING_DEFENCES else name for name in OUTPUT_DEFENCES]
    return [*TRAINING_DEFENCES, *answers]


GROUPS: dict[str, Callable[[], list[str]]] = {"all": _all, "default": lambda: list(DEFAULT)}


def left_out(study: Study) -> list[tuple[str, list[str]]]:
    """Defences that a group name would have tried but for records the study does not set aside."""
    wanted = [member for name in study.defend.defences if name in GROUPS for member in GROUPS[name]()]
    return [(name, missing) for name in dict.fromkeys(wanted) if (missing := lacks(name, study))]


def lacks(name: str, study: Study) -> list[str]:
    """Roles that a defence cannot do without and the study does not name."""
    return [role for role in _defence(name).roles if not getattr(study.data, role)]


def _grid(name: str) -> list[Point]:
    place, bare = _place(name)
    return [Point(bare, dict(options), place) for options in _defence(name).grid]


def _defence(name: str) -> TrainingDefence | type[OutputDefence]:
    place, bare = _place(name)
    return OUTPUT_DEFENCES[bare] if place == "answer" else find_defence(DefenceStudy(name=bare))[0]


def _place(name: str) -> tuple[Literal["training", "answer"], str]:
    """Where a defence acts, and its name there."""
    bare = name.removeprefix(ANSWER)
    if bare in OUTPUT_DEFENCES and (name != bare or name not in TRAINING_DEFENCES):
        return "answer", bare
    if name in TRAINING_DEFENCES or is_entrypoint(name):
        return "training", name
    known: Sequence[str] = [*_all(), *GROUPS]
    close = difflib.get_close_matches(name, known, n=3)
    raise StudyError(
        f"there is no defence {name}",
        expected="default, all, or names by comma; file.py:name for your own",
        where="defend.defences (--defences)",
        fix=f"did you mean {' or '.join(close)}?" if close else "memberwise list defences shows them",
    )


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
