"""Features of answers beside shadow models: of a stand-in's and of a target's alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from memberwise.attacks.in_out import shadows_of
from memberwise.attacks.learned.features import Statistics, features, statistics
from memberwise.attacks.learned.lean import (
    lean_table,
    population_read,
    readings_by_name,
    shadows_alone,
    true_class_alone,
)
from memberwise.attacks.learned.relative import features as relative_features
from memberwise.attacks.learned.summaries import Summaries, summarise
from memberwise.attacks.learned.tempered import Answering
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Floats32, Ints, Mask

# With fewer shadow models none are left on a side once one and its complement stand aside.
FEWEST_MODELS = 4
# With so many, some side has two models whose spread tells.
FEWEST_FOR_SPREADS = 6
# The scale of answers is found in so many steps at most, or when one changes it by no more than this share.
STEPS, CLOSE = 12, 1e-5
# A smaller share of members among audited records counts as this one.
LEAST_MEMBERS = 0.01


# Which features of a record a judge reads.
View = Literal["raw", "matched", "levels"]


@dataclass(frozen=True)
class Rows:
    """Features of some records under one model.

    Attributes:
        raw: ``(r, f)`` of the answers as they are. matched: ``(r, f)`` of answers scaled so that they spread over the
            population as the shadow models' do; None where that is not known.
        levels: ``(r, g)`` those and absolute levels of the answers, as they are; of models as they ended.
    """

    raw: Floats32
    matched: Floats32 | None
    levels: Floats32 | None = None

    def of(self, view: View) -> Floats32:
        """``(r, f)``: the features in one of the views."""
        rows: Floats32 | None = getattr(self, view)
        if rows is None:
            raise ValueError(f"of these answers there are no features: {view}")
        return rows


@dataclass(frozen=True)
class References:
    """The shadow models beside which answers are read: all but those of a stand-in's pair.

    Attributes:
        table: theirs. plain: statistics of all queries; None where no side has two models.
        shadows: what they tell, at several temperatures.
        scored: ``(n,)`` records which can be scored; outside: those with an OUT model at least.
        stand_ins: beside how many stand-ins these are the ones that remain.
    """

    table: Signals
    plain: Statistics | None
    shadows: Summaries
    scored: Mask
    outside: Mask
    stand_ins: int = 1


@dataclass
class Reader:
    """A table, read once.

    Attributes:
        table: without what is not read, with the shadow models' readings in ``extra``.
        whole: the table as given. full: full answers are read, of the target and of the first shadow models.
        population: ``(z,)`` positions of the population records that are read; None: too few.
        models: of how many shadow models the readings are held. names: of the features' columns, once they are known.
        several: a record has several queries, of which every view tells.
    """

    table: Signals
    whole: Signals
    full: bool
    population: Ints | None
    models: int
    names: list[str]
    several: bool

    @classmethod
    def of(cls, signals: Signals, rng: np.random.Generator) -> Reader:
        """Of a table with shadow models; ``rng`` draws population records where there are too many."""
        shadows = shadows_of(signals.shadows)
        population = population_read(signals, rng)
        parts: list[tuple[Answers | None, int]] = [(signals.target, 1), (shadows, FEWEST_MODELS)]
        if population is not None:
            parts += [(signals.population_target, 1), (signals.population_shadows, FEWEST_MODELS)]
        full = all(_full_answers(answers) >= least for answers, least in parts)
        models = min(_full_answers(answers) for answers, _ in parts[1::2]) if full else shadows.models
        table = lean_table(signals, population, models, full)
        # A copy, for what is kept with a table must not keep the table (``once_a_table``).
        return cls(table, replace(signals), full, population, models, [], shadows.queries > 1)

    def beside(self, table: Signals, rng: np.random.Generator, levels: bool = True) -> References:
        """What the shadow models of ``table``, a part of the reader's, tell; of absolute ``levels`` too."""
        told = self.several or (levels and self.population is not None)
        enough = told and len(table.trained_on) + 2 >= FEWEST_FOR_SPREADS
        plain = statistics(shadows_alone(table), offline=False) if enough else None
        shadows = shadows_of(table.shadows)
        population = {} if table.population_shadows is None else readings_by_name(table.population_shadows)
        correct = shadows.correct[:, :, 0].astype(np.float64)
        summaries = summarise(readings_by_name(shadows), population, correct, table.is_in, table.is_out, rng)
        outside = np.asarray(table.is_out.any(0))
        return References(table, plain, summaries, np.asarray(table.is_in.any(0)) & outside, outside)

    def beside_population(self, references: References, rng: np.random.Generator) -> References:
        """The same shadow models as non-members of the population records meet them, all of them OUT models.

        Each record has as many models behind it as some audited record, drawn at random, has OUT models.
        """
        answers = references.table.population_shadows
        if answers is None or self.population is None or self.whole.population_labels is None:
            raise ValueError("there are no population records")
        outside = references.table.is_out[:, rng.integers(references.table.records, size=answers.records)]
        nowhere, columns = np.zeros_like(outside), readings_by_name(answers)
        correct = answers.correct[:, :, 0].astype(np.float64)
        summaries = summarise(columns, columns, correct, nowhere, outside, rng)
        plain = None
        if references.plain is not None and self.several:
            labels, bare = self.whole.population_labels[self.population], true_class_alone(answers)
            of_models = np.where(outside, 0, -1).astype(np.int8)
            plain = statistics(Signals(labels, labels, bare, bare, of_models), offline=True)
        return replace(references, shadows=summaries, plain=plain)

    def question(self, signals: Signals, references: References, view: View) -> Floats32:
        """The features of a target's records, ``(n, f)``, in one of the views."""
        audited = Answering.of(signals.target, 0, signals.labels, self.full)
        population = self.population_answering(signals.population_target, 0)
        if view == "matched" and population is not None:
            scale = scale_of(population, references)
            audited, population = audited.scaled(scale), population.scaled(scale)
        rows = self._matrix(audited, population, references, None, members_of(signals))
        return self._with_levels(rows, audited, references, None) if view == "levels" else rows

    def known_nonmembers(
        self, signals: Signals, references: References, beside_population: References, view: View
    ) -> Floats32:
        """The features ``(z, f)`` of the target's population records, of those that know the OUT models alone."""
        population = self.population_answering(signals.population_target, 0)
        if population is None:
            raise ValueError("there are no population records")
        if view == "matched":
            population = population.scaled(scale_of(population, references))
        return self._matrix(population, population, beside_population, None, members_of(signals))

    def rows(
        self,
        audited: Answering,
        population: Answering | None,
        references: References,
        rows: Ints,
        members: float,
        levels: bool,
    ) -> Rows:
        """The features of the records at ``rows`` ``(r,)``; ``members``: their share of all; ``levels``: these too."""
        raw = self._matrix(audited, population, references, rows, members)
        if population is None:
            return Rows(raw, None)
        scale = scale_of(population, references)
        matched = self._matrix(audited.scaled(scale), population.scaled(scale), references, rows, members)
        with_levels = levels and references.plain is not None
        return Rows(raw, matched, self._with_levels(raw, audited, references, rows) if with_levels else None)

    def population_answering(self, answers: Answers | None, k: int) -> Answering | None:
        """What the k-th model answers about the population records that are read; None where there are too few."""
        if self.population is None or answers is None or self.whole.population_labels is None:
            return None
        part = answers.of_models(np.array([k])).of_records(self.population)
        return Answering.of(part, 0, self.whole.population_labels[self.population], self.full)

    @property
    def early_records(self) -> Ints | None:
        """``(r,)`` positions of the records about which early checkpoints were asked; None: all, or there are none."""
        early = self.whole.early
        if early is None or not self.full or not len(early.records):
            return None
        return None if np.array_equal(early.records, np.arange(self.whole.records)) else early.records

    def early_answering(self, k: int) -> list[tuple[Answering, Answering | None]]:
        """What the k-th model's early checkpoints answered about ``early_records``, and about the population."""
        early, labels = self.whole.early, self.whole.population_labels
        if early is None or not self.full or k >= early.audited[0].models or not len(early.records):
            return []
        checkpoints = []
        for number, answers in enumerate(early.audited):
            audited = Answering.of(answers, k, self.whole.labels[early.records], True)
            population = None
            if self.population is not None:
                if not early.population or labels is None or not np.array_equal(early.positions, self.population):
                    return []
                population = Answering.of(early.population[number], k, labels[early.positions], True)
            checkpoints.append((audited, population))
        return checkpoints

    def _matrix(
        self,
        audited: Answering,
        population: Answering | None,
        references: References,
        rows: Ints | None,
        members: float,
    ) -> Floats32:
        of_population = None if population is None else population.readings()
        right = audited.correct[:, 0].astype(np.float64)
        columns = relative_features(audited.readings(), of_population, right, references.shadows, members)
        if self.several and references.plain is not None:
            columns |= {f"all {name}": values for name, values in features(audited.answers(), references.plain).items()}
        if len(self.names) < len(columns):
            self.names[:] = list(columns)
        nothing = np.full(len(audited.logits), np.nan)
        picked = [columns.get(name, nothing) for name in self.names]
        return np.stack([values if rows is None else values[rows] for values in picked], 1).astype(np.float32)

    def _with_levels(self, raw: Floats32, audited: Answering, references: References, rows: Ints | None) -> Floats32:
        """The ``raw`` features ``(r, f)`` and those of the first generation, absolute levels among them."""
        if self.several or references.plain is None:
            return raw
        columns = features(audited.answers(), references.plain).values()
        levels = np.stack([values if rows is None else values[rows] for values in columns], 1)
        return np.concatenate([raw, levels.astype(np.float32)], 1)


def members_of(signals: Signals) -> float:
    """The share of members among audited records, as the attacker knows it: as of the lessons' where it is not told."""
    return 0.5 if signals.members is None else min(max(signals.members, LEAST_MEMBERS), 1 - LEAST_MEMBERS)


def scale_of(population: Answering, references: References) -> float:
    """By how much logits are scaled for phi to spread over the population as it does under the shadow models.

    Phi grows nearly as its logits do, so that a few steps of ratios find the fixed point: answers times any number end
    on the same scale.
    """
    width, scale = references.shadows.figures["phi 1"].width, 1.0
    for _ in range(STEPS):
        ratio = width / max(float(population.first_phi(scale).std()), 1e-9)
        scale *= ratio
        if abs(ratio - 1) < CLOSE:
            break
    return scale


def _full_answers(answers: Answers | None) -> int:
    """For how many models full answers are held."""
    return 0 if answers is None or answers.vectors is None else len(answers.vectors)
