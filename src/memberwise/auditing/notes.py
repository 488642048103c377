"""Warnings about a run: what was noticed of its target, its shadow models and its answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from memberwise.assess.contradiction import Accuracies, contradiction_notes
from memberwise.assess.notes import accuracy_notes
from memberwise.auditing.prepare import Prepared
from memberwise.auditing.prepare.target import stored_accuracy
from memberwise.auditing.served_notes import served_notes
from memberwise.auditing.target import TargetRun
from memberwise.errors import Note
from memberwise.signals.remarks import remark_notes
from memberwise.signals.schedule import ShadowRun
from memberwise.signals.steps import Step, step_notes
from memberwise.study.schema import Study

Notes = list[Note]
INTERRUPTED, GIVEN_UP = "interrupted", "cascade-given-up"


def run_notes(prepared: Prepared, target: TargetRun, made: Notes, shadows: ShadowRun, step: Step | None) -> Notes:
    """All warnings that are not about figures, in the order in which things were noticed.

    Args:
        made: what synthetic shadow data took. step: of answers that come in steps.
    """
    notes = [
        *prepared.notes,
        *target.notes,
        *made,
        *served_notes(prepared, shadows.arrays if shadows.count else None),
        *prepared.trainer.notes,
        *remark_notes(target.arrays, shadows.arrays),
        *step_notes(step),
        *shadows.notes,
        *_interrupted(shadows, prepared.study),
    ]
    accuracies = (float(target.arrays["train_accuracy"][0]), float(target.arrays["test_accuracy"][0]))
    if shadows.count:
        notes += accuracy_notes(accuracies, shadows.arrays["train_accuracy"], shadows.arrays["test_accuracy"])
    if prepared.target is not None:
        notes += contradiction_notes(_accuracies(prepared, accuracies, shadows))
    return notes


def _accuracies(prepared: Prepared, target: tuple[float, float], shadows: ShadowRun) -> Accuracies:
    """What is known of a target that was given, beside its shadow models."""
    return Accuracies(
        target[0],
        len(prepared.roles.members),
        target[1],
        len(prepared.roles.test),
        2 if prepared.dataset.label_sets is not None else len(prepared.dataset.classes),
        stored_accuracy(prepared.study),
        shadows.arrays["train_accuracy"] if shadows.count else np.empty(0),
    )


def processor_notes(processors: Mapping[str, int]) -> Notes:
    """A warning where several kinds of processor made shadow models: by kind, how many; "" where that is not known."""
    kinds = [f"{name} ({models} models)" for name, models in processors.items() if name]
    if len(kinds) < 2:
        return []
    message = f"shadow models were made by {', '.join(kinds)}: the same to a tolerance, not to the bit"
    return [Note("several-processors", message)]


def _interrupted(shadows: ShadowRun, study: Study) -> Notes:
    if not shadows.interrupted:
        return []
    intended = study.shadow.budget or f"{study.shadow.count} models"
    return [
        Note(
            INTERRUPTED,
            f"interrupted after {shadows.count} shadow models (asked for: {intended}); the figures are of a weaker "
            "attacker; the same command continues",
        )
    ]
