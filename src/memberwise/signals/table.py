"""``Answers`` and ``Signals``: the one table from which every attack is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from memberwise.signals.rounds import Round
from memberwise.signals.streamed import of_models, of_records
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array, Arrays, Floats, Floats32, Ints, Mask

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
A = ParamSpec("A")
P = TypeVar("P", bound="DataclassInstance")


@dataclass(frozen=True, eq=False)
class Answers:
    """What ``m`` models said about ``n`` records, each asked with ``q`` queries, over ``C`` classes.

    Attributes:
        log_p: ``(m, n, q)`` float32, log p_y of the true class; NaN where only labels are answered.
        log_1mp: ``(m, n, q)`` float32, log(1 - p_y), as the log of the sum over the *other* classes (of "scores",
            which need not sum to 1, as written).
        correct: ``(m, n, q)`` bool, argmax == label; where only logs were saved, p_y > 1/2.
        vectors: ``(j, n, C)`` full answers (first query) of the first ``j <= m`` models, or None; float32, of saved
            answers float64 where they were saved so.
        kind: what one answer is; "scores" are defended answers that need not sum to 1.
        extra: what collectors gathered beyond single answers, by name, each ``(j,)`` or ``(j, n, ...)`` of the first
            ``j <= m`` models; under ``NAME.queries`` how many questions were asked about each record, ``(j, n)``.
        saturated: share of true-class scores clipped before the logarithm ("scores" and "probabilities" only).
        tempered: by temperature T other than 1, ``(m, n, q)`` float32: phi of softmax(log p / T)
            (``signals.temperature``). Empty where nothing but p_y is known, of labels, and of several labels a record.
        floor: the smallest number a logarithm is taken of, where the answers come in steps (``signals.steps``);
            None: the least of their kind.
    """

    log_p: Floats32
    log_1mp: Floats32
    correct: Mask
    vectors: Floats32 | Floats | None = None
    kind: Kind = "logits"
    extra: Arrays = field(default_factory=dict)
    saturated: float = 0.0
    floor: float | None = None
    tempered: dict[float, Floats32] = field(default_factory=dict)

    @property
    def models(self) -> int:
        return int(self.log_p.shape[0])

    @property
    def records(self) -> int:
        return int(self.log_p.shape[1])

    @property
    def queries(self) -> int:
        return int(self.log_p.shape[2])

    @property
    def phi(self) -> Floats:
        """``(m, n, q)`` float64, the scaled logit log p_y - log(1 - p_y) (Carlini et al. 2022, section IV.C)."""
        return self.log_p.astype(np.float64) - self.log_1mp.astype(np.float64)

    def phi_at(self, temperature: float) -> Floats:
        """``(m, n, q)`` float64: phi at a temperature that is kept, or at 1."""
        return self.phi if temperature == 1 else self.tempered[temperature].astype(np.float64)

    def log_p_at(self, temperature: float) -> Floats:
        """``(m, n, q)`` float64: log p_y at a temperature that is kept, or at 1."""
        if temperature == 1:
            return self.log_p.astype(np.float64)
        return np.asarray(-np.logaddexp(0.0, -self.phi_at(temperature)))

    def of_models(self, keep: NDArray[np.intp]) -> Answers:
        """The answers of the models ``keep``: ``(k,)`` positions, ascending."""
        full = keep[keep < (0 if self.vectors is None else len(self.vectors))]
        vectors = self.vectors[full] if self.vectors is not None and full.size else None
        held = {name: keep[keep < len(values)] for name, values in self.extra.items()}
        extra = {name: self.extra[name][rows] for name, rows in held.items() if rows.size}
        return replace(
            self,
            log_p=of_models(self.log_p, keep),
            log_1mp=of_models(self.log_1mp, keep),
            correct=of_models(self.correct, keep),
            vectors=vectors,
            extra=extra,
            tempered={temperature: phi[keep] for temperature, phi in self.tempered.items()},
        )

    def of_records(self, rows: NDArray[np.intp]) -> Answers:
        """The answers about the records at these ``(k,)`` positions."""
        return replace(
            self,
            log_p=of_records(self.log_p, rows),
            log_1mp=of_records(self.log_1mp, rows),
            correct=of_records(self.correct, rows),
            vectors=None if self.vectors is None else self.vectors[:, rows],
            extra={name: values[:, rows] if values.ndim > 1 else values for name, values in self.extra.items()},
            tempered={temperature: of_records(phi, rows) for temperature, phi in self.tempered.items()},
        )


@dataclass(frozen=True)
class AuxiliaryTable:
    """What the shadow models say about auxiliary records, where these are what they trained on.

    Attributes:
        answers: ``(m, r, 1)``, full vectors of the first models.
        labels: ``(r,)`` class numbers. trained_on: ``(m, r)`` int8, 1 IN, 0 OUT.
    """

    answers: Answers
    labels: Ints
    trained_on: NDArray[np.int8]


@dataclass(frozen=True)
class EarlyAnswers:
    """What the first shadow models answered after a part of their training; the earliest checkpoint first.

    Attributes:
        records: ``(r,)`` positions, in the table, of the audited records asked about.
        audited: one a checkpoint, each ``(j, r, q)`` of the first ``j`` shadow models, with full answers.
        population: likewise, ``(j, z, q)``; empty where there is no population.
        positions: ``(z,)`` among population records.
    """

    records: NDArray[np.intp]
    audited: tuple[Answers, ...]
    population: tuple[Answers, ...]
    positions: NDArray[np.intp]

    def each(self, change: Callable[[Answers], Answers]) -> EarlyAnswers:
        """The same with all answers changed alike."""
        return replace(self, audited=tuple(map(change, self.audited)), population=tuple(map(change, self.population)))

    def of_records(self, rows: NDArray[np.intp]) -> EarlyAnswers:
        """Those about the table's records at these ``(k,)`` positions."""
        place = {int(row): k for k, row in enumerate(rows)}
        kept = np.array([i for i, row in enumerate(self.records) if int(row) in place], np.intp)
        records = np.array([place[int(row)] for row in self.records[kept]], np.intp)
        return replace(self, records=records, audited=tuple(one.of_records(kept) for one in self.audited))


@dataclass(frozen=True)
class Transfer:
    """A model of the attacker's own: ``answers`` of it (one model, full vectors) about ``(r,)`` records, some members.

    Its records and classes may have nothing to do with the target's.
    """

    answers: Answers
    member: Mask


@dataclass(frozen=True, eq=False)
class Signals:
    """All an attacker has: answers, and which shadow model trained on which record.

    The truth about the target's members is not here: an attack cannot peek.

    Attributes:
        index: ``(n,)`` row numbers of the audited records in the data.
        labels: ``(n,)`` int64 class numbers.
        target: answers of the target, ``m == 1``.
        shadows: answers of the shadow models, or None where there are none.
        trained_on: ``(m, n)`` int8: 1 IN, 0 OUT, -1 "do not use this model for this record" (leave-one-out).
        population_target: the target's answers on the population records, ``m == 1``, or None.
        population_shadows: the shadow models' answers on the population records, or None.
        population_labels: ``(k,)`` class numbers of the population records, or None.
        population_trained_on: ``(m, k)`` 0/1 where some shadow model saw some population records, else None.
        groups: ``(n,)`` subgroup names, or None.
        known: ``(n,)`` float: 1.0 / 0.0 membership revealed to the attacker, NaN where it is not; or None.
            Revealed records are not evaluated.
        beside: the shadow models' answers about auxiliary records, of which each trained on a half; or None.
        transfer: another model of which the attacker knows the members, trained on other data; or None.
        features: ``(N, ...)`` the data themselves by row number (``features[index]`` are the audited records'), as
            stored; None where only answers are at hand. Held, not copied.
        population_index: ``(k,)`` row numbers of the population records in the data, or None.
        temperature: at which ``base``, ``informia`` and ``rmia-*`` read p_y; the answers hold it (1, or kept).
        several_labels: a record has several binary labels: ``labels`` are numbers of sets of them.
        members: the share of members among audited records, which the attacker of the membership game is told; None: it
            is not known, and taken for a half.
        early: what shadow models answered after a part of their training, where that was asked; or None.
        turns: by attack ``(m, n)`` scores of each shadow model in the target's place, NaN where it took no turn; in
            the table of a finished run (``load_signals``) alone, never in an attack's.
        rounds: of a cascade, in their order: shadow models that were trained once the target was asked.
    """

    index: Ints
    labels: Ints
    target: Answers
    shadows: Answers | None
    trained_on: NDArray[np.int8]
    population_target: Answers | None = None
    population_shadows: Answers | None = None
    population_labels: Ints | None = None
    population_trained_on: NDArray[np.int8] | None = None
    groups: Array | None = None
    known: Floats | None = None
    transfer: Transfer | None = None
    beside: AuxiliaryTable | None = None
    features: Array | None = None
    population_index: Ints | None = None
    several_labels: bool = False
    temperature: float = 1.0
    members: float | None = None
    early: EarlyAnswers | None = None
    turns: dict[str, Floats] | None = None
    rounds: tuple[Round, ...] = ()

    @property
    def records(self) -> int:
        return len(self.labels)

    @property
    def is_in(self) -> Mask:
        """``(m, n)``: the shadow model trained on the record."""
        return np.asarray(self.trained_on == 1)

    @property
    def is_out(self) -> Mask:
        """``(m, n)``: the shadow model did not train on the record."""
        return np.asarray(self.trained_on == 0)

    def of_records(self, rows: NDArray[np.intp]) -> Signals:
        """The table of the audited records at these ``(k,)`` positions; the population stays."""
        return replace(
            self,
            index=self.index[rows],
            labels=self.labels[rows],
            target=self.target.of_records(rows),
            shadows=None if self.shadows is None else self.shadows.of_records(rows),
            trained_on=self.trained_on[:, rows],
            groups=None if self.groups is None else self.groups[rows],
            known=None if self.known is None else self.known[rows],
            early=None if self.early is None else self.early.of_records(rows),
            turns=None if self.turns is None else {name: scores[:, rows] for name, scores in self.turns.items()},
            rounds=tuple(one.of_records(rows) for one in self.rounds),
        )

    def of_models(self, keep: NDArray[np.intp]) -> Signals:
        """The table with these shadow models alone: ``(k,)`` positions, ascending."""

        def kept(answers: Answers | None) -> Answers | None:
            return None if answers is None or not keep.size else answers.of_models(keep)

        seen = self.population_trained_on
        held = keep[keep < (0 if self.early is None else self.early.audited[0].models)]
        return replace(
            self,
            shadows=kept(self.shadows),
            trained_on=self.trained_on[keep],
            population_shadows=kept(self.population_shadows),
            population_trained_on=None if seen is None else seen[keep],
            early=None if self.early is None or not keep.size else self.early.each(lambda one: one.of_models(held)),
            turns=None,  # of other shadow models, they have other scores
            rounds=(),  # they were trained on what all shadow models said
        )


def kept_temperatures(signals: Signals) -> set[float]:
    """The temperatures at which the table holds all p_y: of the target and the shadow models, population included."""
    parts = (signals.target, signals.shadows, signals.population_target, signals.population_shadows)
    return {1.0}.union(signals.target.tempered).intersection(
        *({1.0, *part.tempered} for part in parts if part is not None)
    )
