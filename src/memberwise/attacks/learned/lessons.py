"""What the judges learn from: shadow models in the target's place, as they are, as they were, and distorted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from memberwise.attacks.in_out import first_models, shadows_of
from memberwise.attacks.learned.lean import DRAWS
from memberwise.attacks.learned.reader import FEWEST_MODELS, Reader, References, Rows
from memberwise.attacks.learned.tempered import Answering, distortion
from memberwise.signals.leave_one_out import StandIn, as_target
from memberwise.signals.once import once_a_table
from memberwise.signals.table import Signals
from memberwise.types.arrays import Mask

# So many shadow models take the target's place at most; so many rows teach, a half of them of models as they ended.
MOST_STAND_INS = 16
MOST_ROWS = 50_000
# So many answers of shadow models are read at most; each takes about so many bytes (500 to 680 measured).
MOST_READ, BYTES_READ = 2**22, 600
ENOUGH_ROWS = 1_000
# What one model answers about audited records, and about the population.
Model = tuple[Answering, Answering | None]
# Distorted copies of a stand-in: beside early checkpoints, and without.
COPIES, COPIES_ALONE = 1, 3


@dataclass(frozen=True)
class Lesson:
    """One shadow model in the target's place: its records, and whether it saw them, ``member`` ``(r,)``."""

    rows: Rows
    member: Mask
    kind: str


@dataclass(frozen=True)
class Part:
    """Records that a model was asked about: the shadow models beside it, ``member`` and ``usable`` ``(r,)``."""

    references: References
    member: Mask
    usable: Mask


@dataclass(frozen=True)
class Lessons:
    """All that a table's shadow models teach.

    Attributes:
        references: the shadow models that remain, for each way of leaving a pair out. names: of the features' columns.
        reader: reads answers as the lessons' were; None without lessons.
    """

    lessons: list[Lesson]
    references: list[References]
    names: list[str]
    reader: Reader | None

    @property
    def calibrated(self) -> bool:
        """Population records tell on what scale a target answers, so that probabilities carry over to it."""
        return self.reader is not None and self.reader.population is not None

    @property
    def tell_levels(self) -> bool:
        """Models as they ended teach on absolute levels too."""
        ended = [lesson for lesson in self.lessons if lesson.kind == "ended"]
        return bool(ended) and all(lesson.rows.levels is not None for lesson in ended)


@once_a_table
def lessons_of(signals: Signals) -> Lessons:
    """The lessons that a table of signals holds; none with fewer than ``FEWEST_MODELS``. Shared by both attacks."""
    rng = np.random.default_rng(DRAWS)
    if len(signals.trained_on) < FEWEST_MODELS:
        return Lessons([], [], [], None)
    signals = first_models(signals, MOST_READ)
    reader = Reader.of(signals, rng)
    lessons, every, early = list[Lesson](), list[References](), None
    stand_ins = min(reader.models, len(signals.trained_on), _most_stand_ins(signals.records))
    most = _rows_each(signals.records, stand_ins)
    for k in range(stand_ins):
        stand_in = as_target(reader.table, k, rng)
        if every and _same_models(every[-1].table, stand_in.signals):  # the two of a pair leave the same ones behind
            every[-1] = replace(every[-1], stand_ins=every[-1].stand_ins + 1)
        else:
            every.append(reader.beside(stand_in.signals, rng))
            if reader.early_records is not None:
                early = reader.beside(stand_in.signals.of_records(reader.early_records), rng, levels=False)
        lessons.extend(_lessons_by(reader, k, stand_in, every[-1], early, most, rng))
    return Lessons(lessons, every, reader.names, reader)


def _lessons_by(
    reader: Reader,
    k: int,
    stand_in: StandIn,
    references: References,
    early: References | None,
    most: int,
    rng: np.random.Generator,
) -> Iterator[Lesson]:
    """The k-th shadow model as it ended, as it was earlier, and distorted.

    Each lesson's rows are ``(r, f)``, its truth ``(r,)``; the more there are, the stronger the attack.

    Args:
        stand_in: the table without it and its complement. references: what the models in it tell.
        most: so many records teach as it ended; earlier and distorted, half as many.
        rng: draws the records that teach, where there are more than are needed, and the distortions.
    """
    table, member = stand_in.signals, stand_in.member
    usable = stand_in.evaluated & table.is_in.any(0) & table.is_out.any(0)

    def lesson(model: Model, part: Part, most_rows: int, kind: str) -> Iterator[Lesson]:
        chosen = np.flatnonzero(part.usable)
        if chosen.size > most_rows:
            chosen = np.sort(rng.choice(chosen, most_rows, replace=False))
        if chosen.size:
            members = float(part.member[part.usable].mean())
            rows = reader.rows(*model, part.references, chosen, members, levels=kind == "ended")
            yield Lesson(rows, part.member[chosen], kind)

    everything = Part(references, member, usable)
    ended = Answering.of(shadows_of(reader.whole.shadows), k, reader.whole.labels, reader.full)
    population = reader.population_answering(reader.whole.population_shadows, k)
    yield from lesson((ended, population), everything, most, "ended")
    checkpoints = reader.early_answering(k)
    records = reader.early_records
    asked = everything if early is None or records is None else Part(early, member[records], usable[records])
    for checkpoint in checkpoints:
        yield from lesson(checkpoint, asked, most // 2, "early")
    height = references.shadows.figures["height"]
    for _ in range(COPIES if checkpoints else COPIES_ALONE):
        scale, shift, forgotten = distortion(rng, height.inside - height.outside, member)
        altered = ended.distorted(scale, shift, forgotten)
        moved = None if population is None else population.distorted(scale, shift, 0.0)
        yield from lesson((altered, moved), everything, most // 2, "distorted")


def _most_stand_ins(records: int) -> int:
    return int(np.clip(MOST_ROWS // max(records, 1), 6, MOST_STAND_INS))


def _rows_each(records: int, stand_ins: int) -> int:
    """How many records each stand-in teaches on as it ended."""
    return int(min(records, max(ENOUGH_ROWS, MOST_ROWS // 2 // max(stand_ins, 1))))


def _same_models(one: Signals, other: Signals) -> bool:
    return np.array_equal(one.trained_on, other.trained_on) and np.array_equal(
        shadows_of(one.shadows).log_p, shadows_of(other.shadows).log_p
    )
