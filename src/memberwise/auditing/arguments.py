"""Objects in place of names and files: from Python's arguments to a study's values, and what stands behind them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from memberwise.attacks.base import Attack
from memberwise.attacks.own import check_own, study_name
from memberwise.attacks.registry import ATTACKS, GROUPS, is_built_in
from memberwise.auditing.prepare.inputs import Inputs, rows_name
from memberwise.data import Dataset, from_object
from memberwise.errors import StudyError
from memberwise.signals.saved.files import saved_object
from memberwise.study.flags import FLAGS, study_keys
from memberwise.study.models import TARGETS_OWN
from memberwise.study.reading import check_depth, choose_count, put, read_study
from memberwise.types.parts import Plain


def study_and_inputs(
    study: str | Path | Mapping[str, object] | None,
    where: str,
    *,
    model: object,
    data: object,
    columns: Mapping[str, str | Sequence[str] | None],
    roles: Mapping[str, object],
    flags: Mapping[str, object],
    settings: Mapping[str, object] | None,
    attacks: str | Attack | Sequence[str | Attack] | None = None,
    target: object = None,
    saved: Mapping[str, object] | None = None,
) -> tuple[Plain, Inputs]:
    """A study's nested values, and the objects that stand behind some of its names.

    Args:
        study: what to begin from; all else goes on top. where: what is called, for errors.
        columns: "label", "group" and "unit" of the data. flags: values by the names of flags (``study.flags``).
        settings: further study keys, dotted. saved: "outputs" and "shadow_outputs".

    Raises:
        MemberwiseError: arguments that do not go together, or data that cannot be read.
    """
    named = {name: None if column is None else _joined(column) for name, column in columns.items()}
    request = _Request()
    if study is not None:
        check_depth(study, where)
        request.values = copy.deepcopy(dict(study)) if isinstance(study, Mapping) else read_study(study)
    saved = saved or {}
    if saved.get("outputs") is not None and any(thing is not None for thing in (data, model, target)):
        raise StudyError("saved answers are audited without data, model or target", where=where)
    request.take_roles(roles)
    request.take_data(data, named)
    request.take_model(model)
    request.take_target(target)
    request.take_saved(saved, named.get("label"))
    request.take_attacks(attacks)
    keys: Plain = {f"data.{name}": column for name, column in named.items()}
    keys |= study_keys(flags, {"names": _listed}) | dict(settings or {})
    choose_count(request.values, keys.get("shadow.count"), keys.get("shadow.budget"))
    for key, value in keys.items():
        if value is not None:
            put(request.values, key, value)
    return request.values, request.inputs


@dataclass
class _Request:
    """What was asked for so far: names among the values, objects among the inputs."""

    values: Plain = field(default_factory=dict)
    inputs: Inputs = field(default_factory=Inputs)

    def take_roles(self, roles: Mapping[str, object]) -> None:
        for name, role in roles.items():
            if role is None:
                continue
            if not isinstance(role, (int, str, Path)):
                self.inputs = replace(self.inputs, rows={**self.inputs.rows, name: np.asarray(role)})
                role = rows_name(self.inputs.rows[name])
            put(self.values, FLAGS[name].key, role if isinstance(role, int) else str(role))

    def take_data(self, data: object, columns: Mapping[str, str | None]) -> None:
        if isinstance(data, (str, Path)):
            put(self.values, "data.source", str(data))
        elif data is not None:
            in_study = dict(self.values["data"]) if isinstance(self.values.get("data"), Mapping) else {}
            named = {name: in_study.get(name) if column is None else column for name, column in columns.items()}
            dataset = data if isinstance(data, Dataset) else from_object(data, source="data", **named)
            self.inputs = replace(self.inputs, dataset=dataset)
            put(self.values, "data.source", f"data-{dataset.sha256[:12]}")

    def take_model(self, model: object) -> None:
        if isinstance(model, str):
            put(self.values, "model.name", model)
        elif model is not None:
            self.inputs = replace(self.inputs, model=model)
            put(self.values, "model.name", getattr(model, "__name__", type(model).__name__))

    def take_target(self, target: object) -> None:
        if isinstance(target, type):
            raise StudyError(
                "this is no trained target",
                expected="an object that is made and trained",
                found=f"the class {target.__name__}",
                where="target",
                fix=f"{target.__name__}(...), trained; an unfitted model goes to model=",
            )
        if isinstance(target, (str, Path)):
            put(self.values, "target.file", str(target))
        elif target is not None:
            self.inputs = replace(self.inputs, target=target)
            if hasattr(target, "get_params") and hasattr(target, "predict") and not self.values.get("model"):
                put(self.values, "model.name", TARGETS_OWN)

    def take_saved(self, saved: Mapping[str, object], label: str | None) -> None:
        in_study = self.values.get("data")
        label = label or (in_study.get("label") if isinstance(in_study, Mapping) else None)
        for name, answers in saved.items():
            key = FLAGS[name].key
            if isinstance(answers, (tuple, list)) and all(isinstance(side, (str, Path)) for side in answers):
                answers = ",".join(map(str, answers))
            if isinstance(answers, (str, Path)):
                put(self.values, key, str(answers))
            elif answers is not None:
                self.inputs = replace(self.inputs, **{name: saved_object(answers, name, label)})  # type: ignore[arg-type]
                put(self.values, key, name)

    def take_attacks(self, attacks: object) -> None:
        """Names stay names; attacks of the user's own are called by what a study calls them."""
        if attacks is None:
            return
        names: list[str] = []
        objects: list[Attack] = []
        for attack in attacks if isinstance(attacks, Iterable) and not isinstance(attacks, str) else [attacks]:
            if isinstance(attack, str):
                names.append(attack)
            elif isinstance(attack, Attack) and is_built_in(attack):
                names.append(attack.name)
            else:
                place = f"the object {attack.name}" if isinstance(attack, Attack) else repr(attack)
                objects.append(check_own(attack, place, {*ATTACKS, *GROUPS}))
                names.append(study_name(objects[-1]))
        self.inputs = replace(self.inputs, attacks=tuple(objects))
        put(self.values, "attacks.use", names)


def _joined(columns: str | Sequence[str]) -> str:
    """A column, or several with commas between."""
    return ",".join(map(str, columns)) if isinstance(columns, (list, tuple)) else str(columns)


def _listed(names: object) -> list[str]:
    """One name may stand for a list."""
    return list(map(str, names)) if isinstance(names, Iterable) and not isinstance(names, str) else [str(names)]
