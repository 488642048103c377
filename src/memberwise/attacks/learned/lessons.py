"""What the judges learn from: shadow models in the target's place, as they are, as they were, and distorted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memberwise.attacks.in_out import shadows_of
from memberwise.attacks.learned.features import Statistics, features, statistics
from memberwise.attacks.learned.lean import (
    DRAWS,
    lean_table,
    models_read,
    population_read,
    readings_by_name,
    shadows_alone,
    true_class_alone,
)
from memberwise.attacks.learned.relative import OFFLINE, Shadows, told_by
from memberwise.attacks.learned.relative import features as relative_features
from memberwise.attacks.learned.tempered import Answering, distortion
from memberwise.signals.leave_one_out import StandIn, as_target
from memberwise.signals.table import Answers, Signals, once_a_table
from memberwise.types.arrays import Floats32, Ints, Mask

# With fewer shadow models none are left on a side once one and its complement stand aside.
FEWEST_MODELS = 4
# With so many, some side has two models whose spread tells.
FEWEST_FOR_SPREADS = 6
# So many shadow models take the target's place at most; so many rows teach, a half of them of models as they ended.
MOST_STAND_INS = 16
MOST_ROWS = 200_000
ENOUGH_ROWS = 1_000
# The scale of answers is found in so many steps at most, or when one changes it by no more than this share.
STEPS, CLOSE = 12, 1e-5
# A smaller share of members among audited records counts as this one.
LEAST_MEMBERS = 0.01
# Distorted copies of a stand-in: beside early checkpoints, and without.
COPIES, COPIES_ALONE = 1, 3


@dataclass(frozen=True)
class Rows:
    """Features of some records under one model, on both scales.

    Attributes:
        raw: ``(r, f)`` of the answers as they are. matched: ``(r, f)`` of answers scaled so that they spread over the
            population as the shadow models' do; None where that is not known.
    """

    raw: Floats32
    matched: Floats32 | None

    def of(self, matched: bool) -> Floats32:
        """``(r, f)``: the features on one of the scales."""
        if not matched:
            return self.raw
        if self.matched is None:
            raise ValueError("these answers were not put on the shadow models' scale")
        return self.matched


@dataclass(frozen=True)
class Lesson:
    """One shadow model in the target's place: its records, and whether it saw them, ``member`` ``(r,)``."""

    rows: Rows
    member: Mask
    kind: str


@dataclass(frozen=True)
class Left:
    """The shadow models that some stand-ins left behind.

    Attributes:
        shadows: what they tell, at several temperatures; plain: the statistics of all queries, where there are several.
        scored: ``(n,)`` records which can be scored; outside: those with an OUT model at least.
        stand_ins: how many left these behind.
    """

    rest: Signals
    plain: Statistics | None
    shadows: Shadows
    scored: Mask
    outside: Mask
    stand_ins: int = 1


@dataclass(frozen=True)
class Lessons:
    """All that a table's shadow models teach.

    Attributes:
        left: the shadow models that were left, for each way of leaving some out. names: of the features' columns.
        reader: reads answers as the lessons' were; None without lessons.
    """

    lessons: list[Lesson]
    left: list[Left]
    names: list[str]
    reader: Reader | None

    @property
    def calibrated(self) -> bool:
        """Population records tell on what scale a target answers, so that probabilities carry over to it."""
        return self.reader is not None and self.reader.population is not None


@once_a_table
def lessons_of(signals: Signals) -> Lessons:
    """The lessons that a table of signals holds; none with fewer than ``FEWEST_MODELS``. Shared by both attacks."""
    rng = np.random.default_rng(DRAWS)
    if len(signals.trained_on) < FEWEST_MODELS:
        return Lessons([], [], [], None)
    reader = Reader.of(models_read(signals), rng)
    found = Lessons([], [], reader.names, reader)
    for k in range(reader.stand_ins):
        stand_in = as_target(reader.table, k, rng)
        if found.left and _same_models(found.left[-1].rest, stand_in.signals):  # a pair leaves the same ones behind
            found.left[-1] = replace(found.left[-1], stand_ins=found.left[-1].stand_ins + 1)
        else:
            found.left.append(reader.left(stand_in.signals, rng))
        found.lessons.extend(reader.teach(k, stand_in, found.left[-1], rng))
    return found


@dataclass
class Reader:
    """A table, read once.

    Attributes:
        table: without what is not read, with the shadow models' readings in ``extra``.
        whole: the table as given. full: full answers are read, of the target and of the first shadow models.
        population: ``(z,)`` positions of the population records that are read; None: too few.
        stand_ins: how many shadow models take the target's place. names: of the features' columns, once they are known.
    """

    table: Signals
    whole: Signals
    full: bool
    population: Ints | None
    stand_ins: int
    names: list[str]

    @classmethod
    def of(cls, signals: Signals, rng: np.random.Generator) -> Reader:
        shadows = shadows_of(signals.shadows)
        population = population_read(signals, rng)
        worlds = (signals.population_target, signals.population_shadows) if population is not None else ()
        full = all(
            answers is not None and answers.vectors is not None and len(answers.vectors) >= min(least, answers.models)
            for answers, least in ((signals.target, 1), (shadows, FEWEST_MODELS), *((world, 1) for world in worlds))
        )
        if full and population is not None and signals.population_shadows is not None:
            vectors = signals.population_shadows.vectors
            full = vectors is not None and len(vectors) >= FEWEST_MODELS
        models = shadows.models
        if full:
            held = [len(world.vectors) for world in (shadows, signals.population_shadows)
                    if world is not None and world.vectors is not None]  # fmt: skip
            models = min(held) if population is not None else len(shadows.vectors)  # type: ignore[arg-type]
        table = lean_table(signals, population, models, full)
        stand_ins = min(models, len(signals.trained_on), _most_stand_ins(signals.records))
        # A copy, for what is kept with a table must not keep the table (``once_a_table``).
        return cls(table, replace(signals), full, population, stand_ins, [])

    def left(self, rest: Signals, rng: np.random.Generator) -> Left:
        """What the shadow models of ``rest`` tell."""
        several = shadows_of(rest.shadows).queries > 1 and len(rest.trained_on) + 2 >= FEWEST_FOR_SPREADS
        plain = statistics(shadows_alone(rest), offline=False) if several else None
        shadows = shadows_of(rest.shadows)
        population = {} if rest.population_shadows is None else readings_by_name(rest.population_shadows)
        correct = shadows.correct[:, :, 0].astype(np.float64)
        told = told_by(readings_by_name(shadows), population, correct, rest.is_in, rest.is_out, rng)
        outside = np.asarray(rest.is_out.any(0))
        return Left(rest, plain, told, np.asarray(rest.is_in.any(0)) & outside, outside)

    def question(self, signals: Signals, left: Left, matched: bool) -> Floats32:
        """The features of a target's records, ``(n, f)``: as answered, or on the shadow models' scale."""
        own = Answering.of(signals.target, 0, signals.labels, self.full)
        world = self._world(signals.population_target, 0)
        members = members_of(signals)
        if not matched or world is None:
            return self._matrix(own, world, left, None, members)
        scale = _scale(world, left)
        return self._matrix(own.scaled(scale), world.scaled(scale), left, None, members)

    def known_nonmembers(self, signals: Signals, left: Left, matched: bool, rng: np.random.Generator) -> Floats32:
        """The features ``(z, f)`` of the target's population records, of those that know the OUT models alone.

        Each has as many models behind it as some audited record, drawn at random, has OUT models.
        """
        world, answers = self._world(signals.population_target, 0), left.rest.population_shadows
        if world is None or answers is None:
            raise ValueError("there are no population records")
        outside = left.rest.is_out[:, rng.integers(left.rest.records, size=answers.records)]
        nowhere, columns = np.zeros_like(outside), readings_by_name(answers)
        told = told_by(columns, columns, answers.correct[:, :, 0].astype(np.float64), nowhere, outside, rng)
        plain = None
        if left.plain is not None:
            of_models, bare = np.where(outside, 0, -1).astype(np.int8), true_class_alone(answers)
            plain = statistics(Signals(world.labels, world.labels, bare, bare, of_models), offline=True)
        own = world.scaled(_scale(world, left)) if matched else world
        return self._matrix(own, own, replace(left, shadows=told, plain=plain), None, members_of(signals))

    def teach(self, k: int, stand_in: StandIn, left: Left, rng: np.random.Generator) -> Iterator[Lesson]:
        """The k-th shadow model as it ended, as it was earlier, and distorted.

        Each lesson's rows are ``(r, f)``, its truth ``(r,)``; the more there are, the stronger the attack.

        Args:
            stand_in: the table without it and its complement. left: what the models left there tell.
            rng: draws the records that teach, where there are more than are needed, and the distortions.
        """
        rest, whole = stand_in.signals, self.whole
        usable = stand_in.evaluated & rest.is_in.any(0) & rest.is_out.any(0)
        most = _rows_each(whole.records, self.stand_ins)
        own = Answering.of(shadows_of(whole.shadows), k, whole.labels, self.full)
        world = self._world(whole.population_shadows, k)
        yield from self._lesson(own, world, left, stand_in.member, usable, most, "ended", rng)
        early = self._early(k)
        for records, answering, beside in early:
            part = left if records is None else self._part(left, records, rng)
            inside, use = (side if records is None else side[records] for side in (stand_in.member, usable))
            yield from self._lesson(answering, beside, part, inside, use, most // 2, "early", rng)
        height = left.shadows.told["height"]
        for _ in range(COPIES if early else COPIES_ALONE):
            scale, shift, forgotten = distortion(rng, height.inside - height.outside, stand_in.member)
            altered = own.distorted(scale, shift, forgotten)
            beside = None if world is None else world.distorted(scale, shift, 0.0)
            yield from self._lesson(altered, beside, left, stand_in.member, usable, most // 2, "distorted", rng)

    def _lesson(
        self,
        own: Answering,
        world: Answering | None,
        left: Left,
        member: Mask,
        usable: Mask,
        most: int,
        kind: str,
        rng: np.random.Generator,
    ) -> Iterator[Lesson]:
        rows = np.flatnonzero(usable)
        if rows.size > most:
            rows = np.sort(rng.choice(rows, most, replace=False))
        if rows.size:
            yield Lesson(self._rows(own, world, left, rows, float(member[usable].mean())), member[rows], kind)

    def _rows(self, own: Answering, world: Answering | None, left: Left, rows: Ints, members: float) -> Rows:
        raw = self._matrix(own, world, left, rows, members)
        if world is None:
            return Rows(raw, None)
        scale = _scale(world, left)
        return Rows(raw, self._matrix(own.scaled(scale), world.scaled(scale), left, rows, members))

    def _matrix(
        self, own: Answering, world: Answering | None, left: Left, rows: Ints | None, members: float
    ) -> Floats32:
        beside, right = None if world is None else world.readings(), own.correct[:, 0].astype(np.float64)
        columns = relative_features(own.readings(), beside, right, left.shadows, members)
        plain = {} if left.plain is None else features(own.answers(), left.plain)
        columns |= {f"all {name}": values for name, values in plain.items()}
        if len(self.names) < len(columns):
            self.names[:] = list(columns)
        nothing = np.full(len(own.logits), np.nan)
        picked = [columns.get(name, nothing) for name in self.names]
        return np.stack([values if rows is None else values[rows] for values in picked], 1).astype(np.float32)

    def _world(self, answers: Answers | None, k: int) -> Answering | None:
        if self.population is None or answers is None or self.whole.population_labels is None:
            return None
        part = answers.of_models(np.array([k])).of_records(self.population)
        return Answering.of(part, 0, self.whole.population_labels[self.population], self.full)

    def _early(self, k: int) -> list[tuple[Ints | None, Answering, Answering | None]]:
        """The k-th model's early checkpoints: about which records (None: all), and what they answered."""
        early, labels = self.whole.early, self.whole.population_labels
        if early is None or not self.full or k >= early.audited[0].models or not len(early.records):
            return []
        everywhere = np.array_equal(early.records, np.arange(self.whole.records))
        found = []
        for number, answers in enumerate(early.audited):
            own = Answering.of(answers, k, self.whole.labels[early.records], True)
            world = None
            if self.population is not None:
                if not early.population or labels is None or not np.array_equal(early.positions, self.population):
                    return []
                world = Answering.of(early.population[number], k, labels[early.positions], True)
            found.append((None if everywhere else early.records, own, world))
        return found

    def _part(self, left: Left, records: Ints, rng: np.random.Generator) -> Left:
        return self.left(left.rest.of_records(records), rng)


def members_of(signals: Signals) -> float:
    """The share of members among audited records, as the attacker knows it: as of the lessons' where it is not told."""
    return 0.5 if signals.members is None else min(max(signals.members, LEAST_MEMBERS), 1 - LEAST_MEMBERS)


def offline_columns(names: Sequence[str]) -> Ints:
    """``(k,)`` positions, among the ``names``, of the features that know the OUT models alone."""
    known = OFFLINE | {f"all {name}" for name in ("out t", "out 1 - p", "out centre", "out spread", "out distance")}
    known |= {f"all {name}" for name in ("out z", "out p", "phi", "log p", "phi spread", "phi least")}
    return np.array([i for i, name in enumerate(names) if name in known], np.int64)


def _scale(world: Answering, left: Left) -> float:
    """By how much logits are scaled for phi to spread over the population as it does under the shadow models.

    Phi grows nearly as its logits do, so that a few steps of ratios find the fixed point: answers times any number end
    on the same scale.
    """
    wanted, scale = left.shadows.told["phi 1"].width, 1.0
    for _ in range(STEPS):
        ratio = wanted / max(float(world.first_phi(scale).std()), 1e-9)
        scale *= ratio
        if abs(ratio - 1) < CLOSE:
            break
    return scale


def _most_stand_ins(records: int) -> int:
    return int(np.clip(MOST_ROWS // max(records, 1), 6, MOST_STAND_INS))


def _rows_each(records: int, stand_ins: int) -> int:
    """How many records each stand-in teaches on as it ended; earlier and distorted, half as many."""
    return int(min(records, max(ENOUGH_ROWS, MOST_ROWS // 2 // max(stand_ins, 1))))


def _same_models(one: Signals, other: Signals) -> bool:
    return np.array_equal(one.trained_on, other.trained_on) and np.array_equal(
        shadows_of(one.shadows).log_p, shadows_of(other.shadows).log_p
    )
