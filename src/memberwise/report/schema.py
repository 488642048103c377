"""``AuditResult``: all that is in ``result.json``, and the schema's version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from memberwise.assess.bounded import BoundPart
from memberwise.assess.canaries import CanariesPart
from memberwise.assess.discoveries import Discoveries
from memberwise.assess.figures import AttackFigures, Skipped
from memberwise.assess.flow import Assessment
from memberwise.assess.mismatch import Mismatch
from memberwise.assess.people import PeoplePart
from memberwise.assess.recipe import RecipePart
from memberwise.assess.records import RecordsPart
from memberwise.assess.units import UnitsPart
from memberwise.assess.variation import TargetsPart
from memberwise.assess.verdict import Family
from memberwise.data.treatment import Treatment
from memberwise.errors import Note
from memberwise.statistics import EpsilonBound, Verdict
from memberwise.study.schema import Study
from memberwise.targets.inspection import Finding
from memberwise.types.parts import LEFT_OUT, OPTIONAL, Plain, from_plain, json_schema, to_plain
from memberwise.types.stages import StageSeconds
from memberwise.types.version import __version__

SCHEMA_VERSION = 2
READABLE = (1, SCHEMA_VERSION)


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The data and how many records have which role; roles that saved answers do not have are left out."""

    source: str | None = None
    sha256: str | None = None
    records: int | None = None
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    several_labels: bool | None = field(default=None, metadata=LEFT_OUT)
    members: int | None = None
    nonmembers: int | None = None
    background: int | None = None
    population: int | None = None
    reference: int | None = field(default=None, metadata=LEFT_OUT)
    validation: int | None = field(default=None, metadata=LEFT_OUT)
    auxiliary: int | None = field(default=None, metadata=LEFT_OUT)
    test: int | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True, kw_only=True)
class EndpointFacts:
    """How a served model was asked, in the life of the run folder.

    Attributes:
        address: without credentials. answers: their kind; told: by what. coarseness: how coarse figures look.
        questions: records sent that may have been answered; answered: of these, answered. records: different ones
            whose answers are kept, labels of these labels alone. from_store: answers kept by an
            earlier run of the folder and used by a later one.
        retries: records sent again. refused: by the server. seconds_per_question: of requests, by records.
        asked_again, changed_at_once, changed_meanwhile: records asked about again, and of these answered otherwise.
        policy: output defences by which shadow models answer, as the server's policy says.
    """

    address: str
    protocol: str
    model: str | None = None
    version: str | None = None
    answers: str
    told: str
    coarseness: str | None = None
    labels: int
    questions: int
    answered: int
    records: int
    from_store: int
    retries: int
    refused: int
    max_queries: int | None = None
    seconds_per_question: float | None = None
    asked_again: int
    changed_at_once: int | None = None
    changed_meanwhile: int | None = None
    largest_change: float | None = None
    policy: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class TargetFacts:
    """The target: what it is, and how often it is right on its training records and on test records."""

    kind: str | None = None
    architecture: str | None = None
    train_accuracy: float | None = None
    test_accuracy: float | None = None
    train_loss: float | None = None
    test_loss: float | None = None
    gap: float | None = None
    validation_accuracy: float | None = None
    endpoint: EndpointFacts | None = field(default=None, metadata=LEFT_OUT)
    test_auroc: float | None = field(default=None, metadata=LEFT_OUT)

    @classmethod
    def of(
        cls,
        kind: str,
        architecture: str | None,
        train: tuple[float, float],
        test: tuple[float, float],
        validation: float | None = None,
        endpoint: EndpointFacts | None = None,
        test_auroc: float | None = None,
    ) -> Self:
        """``train`` and ``test`` are (accuracy, loss), ``validation`` an accuracy."""
        return cls(
            kind=kind,
            architecture=architecture,
            train_accuracy=train[0],
            test_accuracy=test[0],
            train_loss=train[1],
            test_loss=test[1],
            gap=train[0] - test[0],
            validation_accuracy=validation,
            endpoint=endpoint,
            test_auroc=test_auroc,
        )


@dataclass(frozen=True, kw_only=True)
class CascadeFacts:
    """Shadow models that were trained once the target was asked (``shadow.cascade``).

    Attributes:
        models: how many, over all rounds. released: of each round, the share of audited records left open.
    """

    models: int
    rounds: int
    released: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ShadowFacts:
    """The shadow models: how they were made, how long that took, and their mean accuracies."""

    count: int | None = None
    data: str | None = None
    engine: str | None = None
    processors: dict[str, int] | None = field(default=None, metadata=LEFT_OUT)
    plan: dict[str, int | str | bool] | None = None
    seconds: float | None = None
    extra_seconds: float | None = field(default=None, metadata=LEFT_OUT)
    models_per_second: float | None = None
    train_accuracy: float | None = None
    test_accuracy: float | None = None
    resumed: int | None = None
    cascade: CascadeFacts | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True)
class AuditWarning:
    """How far the figures carry: a code for machines, a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """All that an audit states: what was audited, every attack's figures, the verdict and the warnings.

    Attributes:
        seconds: from the call to the last figure. stages: where the whole process's time went, with the report's.
        study: the study as it was carried out, as in ``study.toml``.
        encoding: what was done to the records; None for saved answers.
        shadow: None without shadow models; so is mismatch.
        bound: where answers, or the training, have one.
        headline: the attack that is spoken of first.
        canaries, targets: only where the study asks for them; ``targets`` is null where they could not be had.
        recipe, people, units: over all shadow models in turn; only where there are enough of them.
        family: None in results of version 1, which judged rules without an attack's name on the headline alone.
        inspect: what the structure of a scikit-learn target tells; left out for other targets.
        redacted: what was left out: "records", "scores".
    """

    schema_version: int = SCHEMA_VERSION
    memberwise_version: str = __version__
    study: Plain
    seed: int | None = None
    created: str | None = None
    seconds: float | None = None
    stages: tuple[StageSeconds, ...] | None = field(default=None, metadata=LEFT_OUT)
    data: DataFacts
    encoding: Treatment | None = None
    target: TargetFacts
    shadow: ShadowFacts | None = None
    headline: str
    attacks: tuple[AttackFigures, ...]
    epsilon: EpsilonBound | None = None
    bound: BoundPart | None = field(default=None, metadata=LEFT_OUT)
    canaries: CanariesPart | None = field(default=None, metadata=LEFT_OUT)
    targets: TargetsPart | None = field(default=None, metadata=OPTIONAL)
    recipe: RecipePart | None = field(default=None, metadata=LEFT_OUT)
    people: PeoplePart | None = field(default=None, metadata=LEFT_OUT)
    units: UnitsPart | None = field(default=None, metadata=LEFT_OUT)
    discoveries: Discoveries | None = None
    mismatch: Mismatch | None = None
    skipped: tuple[Skipped, ...] = ()
    inspect: tuple[Finding, ...] | None = field(default=None, metadata=LEFT_OUT)
    records: RecordsPart
    family: Family | None = None
    verdict: Verdict
    warnings: tuple[AuditWarning, ...] = ()
    redacted: tuple[str, ...] | None = field(default=None, metadata=LEFT_OUT)

    @classmethod
    def of(
        cls,
        study: Study,
        assessment: Assessment,
        *,
        seconds: float,
        data: DataFacts,
        target: TargetFacts,
        shadow: ShadowFacts | None,
        encoding: Treatment | None,
        inspect: tuple[Finding, ...] | None = None,
        bound: BoundPart | None,
        verdict: Verdict,
        family: Family,
        notes: Sequence[Note],
    ) -> Self:
        """From the facts of a run and its assessment."""
        return cls(
            study=study.to_dict(),
            seed=study.run.seed,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(seconds, 2),
            data=data,
            encoding=encoding,
            inspect=inspect,
            target=target,
            shadow=shadow,
            headline=assessment.headline,
            attacks=assessment.attacks,
            epsilon=assessment.epsilon,
            bound=bound,
            canaries=assessment.canaries,
            targets=assessment.targets,
            recipe=assessment.recipe,
            people=assessment.people,
            units=assessment.units,
            discoveries=assessment.discoveries,
            mismatch=assessment.mismatch,
            skipped=assessment.skipped,
            records=assessment.records,
            family=family,
            verdict=verdict,
            warnings=tuple(AuditWarning(code, message) for code, message in notes),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """A result as ``to_dict`` or ``result.json`` has it, of any readable version.

        Raises:
            RunFolderError: it lacks a part that every version has.
        """
        return from_plain(cls, {**values, "redacted": values.get("redacted") or []})

    def to_dict(self) -> Plain:
        """What ``result.json`` holds."""
        values = to_plain(self)
        if self.targets is None and not (self.study.get("statistics") or {}).get("targets"):
            del values["targets"]
        return values

    def attack(self, name: str | None = None) -> AttackFigures | None:
        """The attack called ``name`` (the headline by default), or None where it was not run."""
        named = self.headline if name is None else name
        return next((attack for attack in self.attacks if attack.name == named), None)


def result_schema() -> Plain:
    """The JSON Schema of ``result.json``."""
    return json_schema(AuditResult, "result.json of a memberwise audit")
