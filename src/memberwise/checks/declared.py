"""Does what a training defence says about itself name things that exist?"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from pydantic import BaseModel

from memberwise.checks.report import Findings, shown
from memberwise.defences.output.registry import output_defences
from memberwise.defences.training.base import TrainingDefence
from memberwise.errors import StudyError
from memberwise.study.reading import make_study, put
from memberwise.study.schema import Study

# Records that a defender may have.
ROLES = ("reference", "validation")
CHANGES = ("step", "procedure", "settings", "answer")


def check_declared(defence: TrainingDefence, findings: Findings) -> None:
    """Options, roles and grid of a training defence, and the study keys and output defences it names."""
    name: object = defence.name
    if not isinstance(name, str) or not name:
        findings.add("name is a text", shown(name))
    for part in (*CHANGES, "check"):
        value = getattr(defence, part)
        if value is not None and not callable(value):
            findings.add(f"{part} is a function", shown(value))
    if all(getattr(defence, part) is None for part in CHANGES):
        findings.add(f"a defence gives one of {', '.join(CHANGES)}", "none, which is plain training")
    check_roles(defence.roles, findings)
    options: object = defence.options
    if not isinstance(options, type) or not issubclass(options, BaseModel):
        findings.add("options is a class of parameters", shown(options), "options=Options, or a subclass of it")
    findings.close()
    with findings.part("options() makes the defaults", "give every parameter a default"):
        defence.options()
    if not isinstance(defence.grid, tuple) or not defence.grid:
        findings.add("grid is a tuple of at least one table of options", repr(defence.grid), "grid=({},)")
        findings.close()
    for point in ({}, *defence.grid):
        _check_point(defence, point, findings)


def check_roles(roles: object, findings: Findings) -> None:
    """Only roles that a study has; a bare text would be read letter by letter."""
    if not isinstance(roles, tuple):
        findings.add("roles is a tuple of names", repr(roles), 'a comma makes a tuple of one: roles=("reference",)')
    elif unknown := [role for role in roles if role not in ROLES]:
        findings.add(f"roles are of {', '.join(ROLES)}", ", ".join(map(repr, unknown)))


def _check_point(defence: TrainingDefence, point: object, findings: Findings) -> None:
    """Make the study of one point of the grid, as a frontier would."""
    if not isinstance(point, Mapping):
        findings.add("every point of grid is a table of options", repr(point))
        return
    parameters = {key: value for key, value in point.items() if key != "training"}
    takes = ", ".join(defence.options.model_fields) or "none"
    with findings.part(f"the grid's {point} is read", f"name parameters of its options ({takes})", last=False):
        options = defence.options.model_validate(parameters)
        values = Study().to_dict()
        values["training"] |= point.get("training", {})
        values["training"]["defence"] = {"name": defence.name, **parameters}
        values = make_study(values, "grid").to_dict()
        if defence.settings:
            _check_settings(defence, options, values, set(point.get("training", {})), findings)
        if defence.answer:
            _check_answer(defence, options, findings)


def _check_settings(
    defence: TrainingDefence, options: object, values: dict[str, object], taken: set[str], findings: Findings
) -> None:
    assert defence.settings is not None
    before = copy.deepcopy(values)
    with findings.part("settings(options, study) runs", "study is the study's keys as nested tables", last=False):
        try:
            settings = defence.settings(options, values)
        except StudyError:  # a study may be refused
            return
        if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
            findings.add(
                "settings gives a dictionary of study keys", shown(settings), 'such as {"training.epochs": 30}'
            )
            return
        if values != before:
            findings.add("settings leaves the study as it is", "values changed in place", "return the keys instead")
        if twice := [key for key in sorted(taken) if f"training.{key}" in settings]:
            findings.add("no key is set by settings and by the grid's training table", ", ".join(twice))
        with findings.part("the study is made of what settings gives", last=False):
            made = copy.deepcopy(before)
            for key, value in settings.items():
                put(made, key, value)
            make_study(made, "settings")


def _check_answer(defence: TrainingDefence, options: object, findings: Findings) -> None:
    assert defence.answer is not None
    with findings.part("answer(options) runs", last=False):
        entries = defence.answer(options)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and "name" in entry for entry in entries):
            findings.add("answer gives a list of tables with a name", repr(entries), 'such as [{"name": "hamp"}]')
            return
        with findings.part("the output defences are made that answer names", last=False):
            study = make_study({"answer": entries}, "answer")
            output_defences(study.answer)
            # What a study file cannot hold would be added once more where a run is resumed.
            if study.to_dict()["answer"] != entries:
                findings.add("answer gives numbers, texts and lists alone", repr(entries))
