"""What one point of the frontier costs and buys, read off its audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from memberwise.assess.figures import AttackFigures
from memberwise.defences.training.registry import guaranteed
from memberwise.frontier.attackers import OF_DRAWN, considered
from memberwise.frontier.points import Point
from memberwise.frontier.schema import Accuracy, AttackAtPoint, MeasuredPoint
from memberwise.frontier.strength import Met, accuracy_of_strongest, met
from memberwise.report.result import Result
from memberwise.report.schema import AuditResult
from memberwise.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper
from memberwise.study.schema import Study

# The rate at which points are compared, unless the constraint names another.
FPR = 0.01


def measure(point: Point, audit: Result, study: Study, fpr: float) -> tuple[MeasuredPoint, Met]:
    """One row of the frontier, and the attacks that met it."""
    result, confidence = audit.parts, study.statistics.confidence
    target, data, shadow = result.target, result.data, result.shadow
    attacks = {attack.name: attack for attack in result.attacks}
    names = considered(study, result.headline, list(attacks))
    queries = {name: attack.queries for name, attack in attacks.items()}
    meeting = met(audit, names, fpr, confidence)
    strongest = accuracy_of_strongest([attacks[name] for name in names], confidence)
    epsilon, delta = _guarantee(point, study, result)
    headline, gap = result.attack(), result.attack("gap")
    trained = None if shadow is None else shadow.seconds
    asking = 0.0 if shadow is None else shadow.extra_seconds or 0.0
    return MeasuredPoint(
        label=point.label,
        defence=point.name,
        options=point.options,
        place=point.place,
        training=point.training,
        train_accuracy=target.train_accuracy,
        test_accuracy=share(target.test_accuracy, data.test, confidence),
        validation_accuracy=share(target.validation_accuracy, data.validation, confidence),
        headline=result.headline,
        headline_accuracy=headline.balanced_accuracy if headline else None,
        tpr=meeting.strongest_rate(queries),
        auc=meeting.strongest_auc(queries),
        rate=meeting.rate(),
        attack_accuracy=strongest,
        strongest=strongest,
        gap=gap.balanced_accuracy if gap else None,
        attacks=tuple(_attack(attacks[name], fpr) for name in names),
        by_labels=tuple(name for name in names if name in OF_DRAWN),
        canaries=result.canaries,
        epsilon=epsilon,
        delta=delta,
        seconds=None if trained is None else round(trained - asking, 2),
        attack_seconds=round(asking, 2),
        warnings=tuple(warning.code for warning in result.warnings),
        bound=result.bound,
        recipe=None if meeting.in_turn is None else meeting.in_turn.at_point(queries),
        people=() if result.people is None else result.people.share_above,
    ), meeting


def _guarantee(point: Point, study: Study, result: AuditResult) -> tuple[float | None, float | None]:
    """Epsilon and delta of the models or of their answers, None where nothing is promised."""
    if result.bound is not None and result.bound.epsilon is not None:
        return result.bound.epsilon, result.bound.delta
    data = result.data
    rows = (data.members or 0) + (data.background or 0)
    return guaranteed(point.study(study, "").training, rows) or (None, None)


def _attack(attack: AttackFigures, fpr: float) -> AttackAtPoint:
    tpr = next((row for row in attack.tpr_at_fpr if row.fpr == fpr), None)
    return AttackAtPoint(attack.name, attack.queries, attack.auc, attack.balanced_accuracy, tpr)


def share(value: float | None, n: int | None, confidence: float) -> Accuracy | None:
    """An accuracy over ``n`` records with its Clopper-Pearson interval; None without records."""
    if value is None or not n:
        return None
    error = (1 - confidence) / 2
    k = round(value * n)
    low, high = float(clopper_pearson_lower(k, n, error)), float(clopper_pearson_upper(k, n, error))
    return Accuracy(value, low, high, n, "Clopper-Pearson")


def relative_to_undefended(rows: Sequence[MeasuredPoint]) -> list[MeasuredPoint]:
    """The rows beside the undefended one, which comes first.

    ``cost``: seconds of its shadow models' training and answers over those of the undefended ones; the questions of
    label-only attacks are not in it.
    """
    plain = rows[0].seconds if rows else None
    return [replace(row, cost=round(row.seconds / plain, 2) if plain and row.seconds else None) for row in rows]
