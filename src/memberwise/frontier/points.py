"""The points of a frontier: which defences are tried, with which parameters."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from memberwise.defences.output import OUTPUT_DEFENCES
from memberwise.defences.training import TRAINING_DEFENCES, find_defence
from memberwise.entrypoint import is_entrypoint
from memberwise.errors import StudyError
from memberwise.study import DefenceStudy, Study, make_study

UNDEFENDED = "undefended"
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
        return " ".join([self.name, *(f"{key}={_short(value)}" for key, value in self.options.items())])

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
        return make_study(values, f"the point {self.label}")


def choose_points(study: Study) -> list[Point]:
    """The undefended model, the chosen defences over their grids, and the points the study adds.

    Raises:
        StudyError: an unknown defence, or one whose records the study does not set aside.
    """
    names: list[str] = []
    for name in study.defend.defences:
        group = name in ("all", "default")
        members = [*TRAINING_DEFENCES, *OUTPUT_DEFENCES] if name == "all" else DEFAULT if name == "default" else [name]
        names += [member for member in members if member not in names and not (group and lacks(member, study))]
    points = [Point(UNDEFENDED, {}, "none")]
    for name in names:
        points += _grid(name)
    for extra in study.defend.points:
        options = {key: value for key, value in extra.model_dump().items() if key != "name"}
        points.append(Point(extra.name, options, _place(extra.name)))
    for point in points:
        if missing := lacks(point.name, study):
            raise StudyError(
                f"{point.name} needs {' and '.join(missing)} records",
                where=", ".join(f"data.{role}" for role in missing),
                fix=" ".join(f"--{role} N|FILE" for role in missing),
            )
    return list({point.label: point for point in points}.values())


def left_out(study: Study) -> list[tuple[str, list[str]]]:
    """Defences that a group name would have tried but for records the study does not set aside."""
    wanted: list[str] = []
    wanted += [*TRAINING_DEFENCES, *OUTPUT_DEFENCES] if "all" in study.defend.defences else []
    wanted += DEFAULT if "default" in study.defend.defences else ()
    return [(name, missing) for name in dict.fromkeys(wanted) if (missing := lacks(name, study))]


def lacks(name: str, study: Study) -> list[str]:
    """Roles that a defence cannot do without and the study does not name."""
    if name == UNDEFENDED:
        return []
    defence: Any = OUTPUT_DEFENCES.get(name) or find_defence(DefenceStudy(name=name))[0]
    return [role for role in defence.roles if not getattr(study.data, role)]


def _grid(name: str) -> list[Point]:
    place = _place(name)
    defence: Any = OUTPUT_DEFENCES[name] if place == "answer" else find_defence(DefenceStudy(name=name))[0]
    return [Point(name, dict(options), place) for options in defence.grid]


def _place(name: str) -> Literal["training", "answer"]:
    if name in TRAINING_DEFENCES or is_entrypoint(name):
        return "training"
    if name in OUTPUT_DEFENCES:
        return "answer"
    known: Sequence[str] = [*TRAINING_DEFENCES, *OUTPUT_DEFENCES, "default", "all"]
    close = difflib.get_close_matches(name, known, n=3)
    raise StudyError(
        f"there is no defence {name}",
        expected="default, all, or names by comma; file.py:name for your own",
        where="defend.defences (--defences)",
        fix=f"did you mean {' or '.join(close)}?" if close else "memberwise list defences shows them",
    )


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
