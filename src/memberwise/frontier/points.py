"""The points of a frontier: which defences are tried, with which parameters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from memberwise.defences.output.base import OutputDefence
from memberwise.defences.output.bounded import BoundedDefence
from memberwise.defences.output.registry import OUTPUT_DEFENCES, find_output_defence, is_output_defence, output_defences
from memberwise.defences.training.base import TrainingDefence
from memberwise.defences.training.registry import TRAINING_DEFENCES, find_defence, refuse_lone_bound, write_out_defence
from memberwise.errors import MissingExtraError, StudyError, did_you_mean
from memberwise.study.entrypoint import is_entrypoint, load_entrypoint
from memberwise.study.reading import make_study
from memberwise.study.schema import DefenceConfig, Study
from memberwise.types.parts import Plain

UNDEFENDED = "undefended"
# Before the name of an output defence where a training defence has the same.
ANSWER = "answer:"
# What ``--defences default`` tries: cheap, needing no further records, and DP-SGD, the one with a guarantee.
DEFAULT = ("l2", "relaxloss", "hamp", "weighted-smoothing", "dp-sgd", "logit-clipping", "rounding", "label-only")


@dataclass(frozen=True)
class Point:
    """One way to defend a model; ``place`` is where the defence acts, ``training`` what is its own in the recipe."""

    name: str
    options: Plain = field(default_factory=dict)
    place: Literal["none", "training", "answer"] = "training"
    training: Plain = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The defence and its parameters, as tables and plots show it."""
        clash = self.place == "answer" and self.name in TRAINING_DEFENCES
        return " ".join(
            [
                f"{ANSWER}{self.name}" if clash else self.name,
                *(f"{key}={_short(value)}" for key, value in self.options.items()),
                *(f"training.{key}={_short(value)}" for key, value in self.training.items()),
            ]
        )

    @property
    def folder(self) -> str:
        """A name of its own for the point's run folder."""
        parts = [self.name, self.options, self.place, *([self.training] if self.training else [])]
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        safe = "".join(c if c.isalnum() or c == "-" else "-" for c in self.name.rpartition(":")[2])
        return f"{safe}-{key[:8]}"

    def study(self, base: Study, out: str) -> Study:
        """The audit of this point; the study's own defence, if any, gives way."""
        values = base.to_dict()
        entry = {"name": self.name, **self.options}
        values["training"] |= self.training
        values["training"]["defence"] = entry if self.place == "training" else None
        values["answer"] = [*values["answer"], entry] if self.place == "answer" else values["answer"]
        values["run"]["out"] = out
        values["defend"] = {}  # another constraint, or other points beside it, change nothing about this one
        return make_study(values, f"the point {self.label}")


def choose_points(study: Study) -> list[Point]:
    """The undefended model, the chosen defences over their grids, and the points the study adds.

    Raises:
        StudyError: an unknown defence or parameter, or a defence whose records the study does not set aside.
        MissingExtraError: a defence whose package is not installed.
    """
    for name in [*study.defend.defences, *(extra.name for extra in study.defend.points)]:
        if name not in GROUPS:
            _refuse_lacking(name, study)
    points = [Point(UNDEFENDED, {}, "none")]
    for name in study.defend.defences:
        for member in GROUPS[name]() if name in GROUPS else [name]:
            if name not in GROUPS or not needs_of(member, study):
                points += [_point(member, options) for options in _defence(member).grid]
    for extra in study.defend.points:
        points.append(_point(extra.name, {key: value for key, value in extra.model_dump().items() if key != "name"}))
    named = named_points(study)
    for point in points:
        if point.place == "none" or point.name in named:  # one of a group that does not fit is left out (usable)
            _check(point, study)
    return list({point.folder: point for point in points}.values())


def named_points(study: Study) -> set[str]:
    """Defences that the study asks for by name, not as one of a group."""
    extra = [point.name for point in study.defend.points]
    return {_place(name)[1] for name in [*study.defend.defences, *extra] if name not in GROUPS}


def _refuse_lacking(name: str, study: Study) -> None:
    if missing := lacks(name, study):
        raise StudyError(
            f"{name} needs {' and '.join(missing)} records",
            where=", ".join(f"data.{role}" for role in missing),
            fix=" ".join(f"--{role} N|FILE" for role in missing),
        )
    if extra := _missing_extra(name):
        raise MissingExtraError.of(*extra, name)


def _point(name: str, options: Plain) -> Point:
    """The point of a defence's options, among which ``training`` is a table of recipe keys of its own."""
    place, bare = _place(name)
    values, training = {key: value for key, value in options.items() if key != "training"}, options.get("training", {})
    if not isinstance(training, dict):
        raise StudyError(
            f"the recipe of a point of {name} is not understood",
            expected="a table of recipe keys, such as training = { learning_rate = 0.5, epochs = 30 }",
            found=repr(training),
            where="defend.points",
        )
    return Point(bare, values, place, training)


def _check(point: Point, study: Study) -> None:
    """Refuse, before anything is trained, a point that cannot be made or would change what is compared."""
    where = f"the point {point.label}"
    tables = [key for key, value in point.options.items() if isinstance(value, dict) and key in Study.model_fields]
    if tables or "defence" in point.training:
        raise StudyError(
            "a point of a frontier differs in its defence and its recipe alone",
            expected="the defence's parameters, and training = { learning_rate = 0.5, epochs = 30 }",
            found=", ".join(tables) or "training.defence",
            where=where,
        )
    made = write_out_defence(point.study(study, ""))
    refuse_lone_bound(made)
    output_defences(made.answer)
    recipe = made.training.model_dump()
    request = point.study(study, "").training.model_dump()
    if changed := [key for key in point.training if recipe[key] != request[key]]:
        raise StudyError(
            f"{point.name} sets training.{changed[0]} itself",
            found=f"{request[changed[0]]!r}, which would become {recipe[changed[0]]!r}",
            where=where,
            fix="leave it out of the point's training table",
        )


def _all() -> list[str]:
    # Those with a bound come with the training defence that makes their ensemble.
    alone = [name for name, defence in OUTPUT_DEFENCES.items() if not issubclass(defence, BoundedDefence)]
    answers = [f"{ANSWER}{name}" if name in TRAINING_DEFENCES else name for name in alone]
    return [*TRAINING_DEFENCES, *answers]


GROUPS: dict[str, Callable[[], list[str]]] = {"all": _all, "default": lambda: list(DEFAULT)}


def left_out(study: Study) -> list[tuple[str, list[str]]]:
    """Defences that a group name would have tried but for what they need, each with that in words."""
    candidates = [member for name in study.defend.defences if name in GROUPS for member in GROUPS[name]()]
    return [(name, needs) for name in dict.fromkeys(candidates) if (needs := needs_of(name, study))]


def needs_of(name: str, study: Study) -> list[str]:
    """What a defence cannot do without here: records the study does not set aside, a package, in words."""
    extra = _missing_extra(name)
    package = [f"the package {extra[0]} (pip install 'memberwise[{extra[1]}]')"] if extra else []
    return [*(f"{role} records" for role in lacks(name, study)), *package]


def lacks(name: str, study: Study) -> list[str]:
    """Roles that a defence cannot do without and the study does not name."""
    return [role for role in _defence(name).roles if not getattr(study.data, role)]


def _missing_extra(name: str) -> tuple[str, str] | None:
    """The package a defence imports and the extra that brings it, where it is not installed."""
    defence = _defence(name)
    extra = defence.extra if isinstance(defence, TrainingDefence) else None
    return extra if extra is not None and find_spec(extra[0]) is None else None


def _defence(name: str) -> TrainingDefence | type[OutputDefence]:
    place, bare = _place(name)
    return find_output_defence(bare)[0] if place == "answer" else find_defence(DefenceConfig(name=bare))[0]


def _place(name: str) -> tuple[Literal["training", "answer"], str]:
    """Where a defence acts, and its name there."""
    bare = name.removeprefix(ANSWER)
    if bare in OUTPUT_DEFENCES and (name != bare or name not in TRAINING_DEFENCES):
        return "answer", bare
    if name in TRAINING_DEFENCES:
        return "training", name
    if is_entrypoint(name) and not name.startswith(ANSWER):
        defence = load_entrypoint(
            name, "defend.defences (--defences)", (TrainingDefence, OutputDefence), (OutputDefence,)
        )
        return ("answer" if is_output_defence(defence) else "training"), name
    if TRAINING_DEFENCES.has_plugin(name):
        return "training", name
    if OUTPUT_DEFENCES.has_plugin(bare):
        return "answer", bare
    known: Sequence[str] = [*_all(), *GROUPS]
    raise StudyError(
        f"there is no defence {name}",
        expected="default, all, or names by comma; file.py:name for your own",
        where="defend.defences (--defences)",
        fix=did_you_mean(name, known) or "memberwise list defences shows them",
    )


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
