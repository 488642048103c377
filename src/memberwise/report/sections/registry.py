"""The sections of a report, in their order. To add one: a file beside this, a line here."""

from __future__ import annotations

from memberwise.report.schema import AuditResult
from memberwise.report.sections.accuracy import Accuracy
from memberwise.report.sections.accusations import Accused
from memberwise.report.sections.attacker import Attacker
from memberwise.report.sections.attacks import Attacks
from memberwise.report.sections.base import Section
from memberwise.report.sections.bounded import WhatIsBounded
from memberwise.report.sections.canaries import Canaries
from memberwise.report.sections.encoding import Encoding
from memberwise.report.sections.endpoint import Served
from memberwise.report.sections.explorer import Explorer
from memberwise.report.sections.inspected import Inspected
from memberwise.report.sections.limits import Limits
from memberwise.report.sections.parts import Parts
from memberwise.report.sections.people import People
from memberwise.report.sections.recipe import Recipe
from memberwise.report.sections.records import Records
from memberwise.report.sections.roc import Roc
from memberwise.report.sections.scores import Scores
from memberwise.report.sections.study import StudyText
from memberwise.report.sections.targets import Targets
from memberwise.report.sections.units import Units
from memberwise.report.sections.warnings import Warnings

SECTIONS: tuple[Section, ...] = (
    Explorer(),
    Attacks(),
    WhatIsBounded(),
    Records(),
    Roc(),
    Scores(),
    Accuracy(),
    Parts(),
    Canaries(),
    Recipe(),
    People(),
    Units(),
    Targets(),
    Accused(),
    Attacker(),
    Limits(),
    Encoding(),
    Inspected(),
    Served(),
    Warnings(),
    StudyText(),
)


def terminal_lines(result: AuditResult) -> list[str]:
    """What a terminal says beside the table of attacks, one line each."""
    return [line for section in SECTIONS for line in section.lines(result)]
