"""What of a table the learned attack reads: readings of shadow models, and population records nobody trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from memberwise.attacks.in_out import shadows_of
from memberwise.attacks.learned.tempered import TEMPERATURES, Answering, Readings
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Floats, Floats32, Ints, Mask

# Fewer population records do not tell on what scale a model answers.
FEWEST_POPULATION, MOST_POPULATION = 100, 2_000
# The draws are a part of the statistic, which attacks share: they depend on the table alone.
DRAWS = 20_261_129


def tells_scale(signals: Signals) -> bool:
    """``FEWEST_POPULATION`` population records or more that no shadow model saw, answered by all."""
    return population_read(signals, np.random.default_rng(DRAWS)) is not None


def known_nonmembers(signals: Signals) -> int:
    """How many population records there are that no shadow model saw, answered by all."""
    return int(_unseen(signals).sum())


def _unseen(signals: Signals) -> Mask:
    if signals.population_target is None or signals.population_shadows is None or signals.population_labels is None:
        return np.zeros(0, bool)
    seen = signals.population_trained_on
    return np.ones(len(signals.population_labels), bool) if seen is None else np.asarray((seen == 0).all(0))


def population_read(signals: Signals, rng: np.random.Generator) -> Ints | None:
    """``(z,)`` positions of the population records to read; None: too few.

    Those that early checkpoints were asked about, where these are enough, else a sample.
    """
    unseen = _unseen(signals)
    early = np.zeros(0, np.int64) if signals.early is None else signals.early.positions
    if unseen.any() and len(early) >= FEWEST_POPULATION and unseen[early].all():
        return early
    rows = np.flatnonzero(unseen)
    if rows.size < FEWEST_POPULATION:
        return None
    return rows if rows.size <= MOST_POPULATION else np.sort(rng.choice(rows, MOST_POPULATION, replace=False))


def lean_table(signals: Signals, population: Ints | None, models: int, full: bool) -> Signals:
    """The table without what is not read, the readings of ``models`` first shadow models in ``extra``.

    Args:
        population: ``(z,)`` positions of the population records that are read.
    """
    shadows, labels = shadows_of(signals.shadows), signals.labels
    world, of_world = signals.population_shadows, signals.population_labels
    read = readings_of(shadows, labels, models, full)
    bare = replace(true_class_alone(shadows), extra=read)
    if population is None or world is None or of_world is None:
        world = None
    else:
        part = world.of_records(population)
        world = replace(true_class_alone(part), extra=readings_of(part, of_world[population], models, full))
    return Signals(
        signals.index,
        labels,
        true_class_alone(signals.target),
        bare,
        signals.trained_on,
        population_shadows=world,
        known=signals.known,
    )


def true_class_alone(answers: Answers) -> Answers:
    """The answers without the other classes' part."""
    return replace(answers, vectors=None, extra={})


def shadows_alone(signals: Signals) -> Signals:
    """The table without its population, and without what of answers is read beside the true class."""
    return replace(signals, shadows=true_class_alone(shadows_of(signals.shadows)), population_shadows=None)


def readings_of(answers: Answers, labels: Ints, models: int, full: bool) -> dict[str, Floats]:
    """The first models' readings, each ``(j, n)``; at temperature 1 those of all models come from their logs."""
    names = [name for temperature in TEMPERATURES for name in (f"phi {temperature}", f"p {temperature}")]
    by_name: dict[str, list[Floats32]] = {name: [] for name in [*names, "height"]}
    for k in range(models):
        readings: Readings = Answering.of(answers, k, labels, full).readings()
        for name, values in by_name.items():
            values.append(readings[name].astype(np.float32))
    return {name: np.stack(values) for name, values in by_name.items()}


def readings_by_name(answers: Answers) -> dict[str, Floats]:
    """Readings by name in float64; those at temperature 1 of all models, others of the first."""
    read = {name: values.astype(np.float64) for name, values in answers.extra.items()}
    if len(read["height"]) < answers.models:
        read["phi 1"], read["p 1"] = answers.phi[:, :, 0], answers.log_p[:, :, 0].astype(np.float64)
    return read
