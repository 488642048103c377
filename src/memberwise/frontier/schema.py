"""``FrontierResult``: all that is in ``frontier.json``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from memberwise.assess.bounded import BoundPart
from memberwise.assess.canaries import CanariesPart
from memberwise.assess.people import ShareAbove
from memberwise.report.schema import AuditWarning
from memberwise.statistics import Estimate, TprAtFpr
from memberwise.types.parts import LEFT_OUT, Document, Plain, json_schema
from memberwise.types.version import __version__

SCHEMA_VERSION = 1
Measure = Literal["tpr", "auc"]
Finding = Literal["lower", "higher", "mixed", "not told apart"]
Place = Literal["none", "training", "answer"]
Basis = Literal["recipe", "model"]


@dataclass(frozen=True)
class Accuracy:
    """A share of ``n`` records that are answered right, with its interval."""

    value: float
    low: float
    high: float
    n: int
    method: str


@dataclass(frozen=True)
class Strongest(Estimate):
    """The strongest attack's figure, with an interval that holds for all attacks at once.

    Attributes:
        name: of the attack. attacks: how many there are. queries: questions a record asked by this one.
    """

    name: str
    attacks: int
    queries: int | None


@dataclass(frozen=True)
class StrongestAccuracy(Estimate):
    """The same of the balanced accuracy."""

    name: str
    queries: int | None
    attacks: int


@dataclass(frozen=True)
class StrongestRate(TprAtFpr):
    """The same of the true-positive rate at a false-positive rate."""

    name: str
    attacks: int
    queries: int | None


@dataclass(frozen=True)
class AttackAtPoint:
    """One attack's figures by itself, with intervals of its own."""

    name: str
    queries: int | None
    auc: Estimate | None
    balanced_accuracy: Estimate | None
    tpr: TprAtFpr | None


@dataclass(frozen=True)
class Difference:
    """How much more the strongest attack achieves on one point than on another.

    Attributes:
        finding: "lower" where less is given away, "higher" where more; "mixed": measures contradict each other.
    """

    value: float
    low: float
    high: float
    finding: Finding
    method: str


@dataclass(frozen=True)
class Comparison(Difference):
    """A difference by the measure that says so (else by the one that points go by), and by ``each`` measure.

    Attributes:
        basis: "recipe": of the ways of training, over all models in turn; "model": of the two models alone.
    """

    measure: Measure
    each: dict[str, Difference]
    basis: Basis = "model"


@dataclass(frozen=True)
class BesideUndefended(Comparison):
    """The difference from the undefended model, with what is found of the canaries of both."""

    canaries: Finding = "not told apart"


@dataclass(frozen=True, kw_only=True)
class RecipeAtPoint:
    """What the point's way of training gives away: the strongest attack over all models in turn.

    Attributes:
        models, trainings: that took the target's place, and how many of them are independent.
        auc, tpr: with intervals over new trainings and new records, for all attacks that took turns at once.
    """

    models: int
    trainings: int
    auc: Strongest
    tpr: StrongestRate | None


@dataclass(frozen=True, kw_only=True)
class MeasuredPoint:
    """What one point costs and buys.

    Attributes:
        options, training: the defence's parameters, and what is its own in the recipe. place: where it acts.
        tpr, auc, attack_accuracy: each the strongest attack's by that figure; the accuracy with a threshold from shadow
            models. strongest: the same as attack_accuracy. headline_accuracy: the headline's. gap: the gap attack's.
        rate: what the TPR is worth: "yes", "weak", "no", "ties".
        by_labels: attacks that see labels alone. canaries: as in ``result.json``.
        epsilon, delta: what the defence promises; None without a promise.
        bound: what is bounded, in which game, and what was measured in both; None where nothing is.
        seconds: of the shadow models' training and answers. attack_seconds: of the questions of label-only attacks.
        cost: seconds over those of the undefended model.
        recipe: where models could be taken in turn. people: the share of records whose own risk is above each level.
    """

    label: str
    defence: str
    options: Plain
    place: Place
    training: Plain
    train_accuracy: float | None
    test_accuracy: Accuracy | None
    validation_accuracy: Accuracy | None
    headline: str
    headline_accuracy: Estimate | None
    tpr: StrongestRate
    auc: Strongest
    rate: str
    attack_accuracy: StrongestAccuracy | None
    strongest: StrongestAccuracy | None
    gap: Estimate | None
    attacks: tuple[AttackAtPoint, ...]
    by_labels: tuple[str, ...]
    canaries: CanariesPart | None
    epsilon: float | None
    delta: float | None
    seconds: float | None
    attack_seconds: float
    warnings: tuple[str, ...]
    cost: float | None = None
    bound: BoundPart | None = field(default=None, metadata=LEFT_OUT)
    recipe: RecipeAtPoint | None = None
    people: tuple[ShareAbove, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ComparedPoint(MeasuredPoint):
    """A point beside the undefended one, for which there is nothing to compare."""

    beside_undefended: BesideUndefended | None


@dataclass(frozen=True)
class Confirmation:
    """The undefended and the recommended point, audited anew on a fresh seed; without comparison if they are one."""

    seed: int
    measure: Measure
    undefended: MeasuredPoint
    recommended: MeasuredPoint
    comparison: Comparison | None


@dataclass(frozen=True)
class LeftOut:
    """A defence of a group that was not tried, what it needs, and why."""

    name: str
    needs: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class FailedPoint:
    """A point that could not be trained or audited, and why."""

    label: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FrontierResult(Document):
    """All points of a frontier, the recommended one and its confirmation.

    Attributes:
        fpr: the false-positive rate at which points are compared. measure: by what they are compared.
        unbeaten, recommended: places among the points. alike: labels of those not told apart from the recommended one.
    """

    schema_version: int = SCHEMA_VERSION
    memberwise_version: str = __version__
    study: Plain
    seed: int
    seconds: float
    fpr: float
    constraint: str
    measure: Measure
    points: tuple[ComparedPoint, ...]
    unbeaten: tuple[int, ...]
    recommended: int | None
    alike: tuple[str, ...]
    confirmation: Confirmation | None
    left_out: tuple[LeftOut, ...]
    failed: tuple[FailedPoint, ...]
    warnings: tuple[AuditWarning, ...]


def frontier_schema() -> Plain:
    """The JSON Schema of ``frontier.json``."""
    return json_schema(FrontierResult, "frontier.json of a memberwise frontier")
