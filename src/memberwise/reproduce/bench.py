"""The bench: where a reproduction gets its data and audits, and makes its rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from memberwise.auditing.prepare import Inputs
from memberwise.auditing.reuse import audit_or_reuse
from memberwise.data import SOURCES, Dataset, at_hand, load
from memberwise.errors import DataError
from memberwise.report.result import Result
from memberwise.reproduce.claim import Condition, Ours, Row
from memberwise.reproduce.published import Figure, published
from memberwise.reproduce.reproduction import Reproduction, Size
from memberwise.signals.progress import Progress, Silent
from memberwise.statistics import Estimate
from memberwise.statistics.intervals import clopper_pearson
from memberwise.study.reading import make_study, put
from memberwise.study.schema import Study
from memberwise.training.engines.registry import EngineSession

T = TypeVar("T")
CONFIDENCE = 0.95
HALF = 0.5
# Measures of an attack, by the key of result.json that holds them.
OF_ATTACK = {
    "attack accuracy": "balanced_accuracy",
    "attack precision": "precision",
    "attack recall": "recall",
    "AUC": "auc",
}
OF_TARGET = {"test accuracy": "test_accuracy", "train accuracy": "train_accuracy"}


@dataclass(frozen=True)
class Bench:
    """One run of a reproduction, with one seed.

    Attributes:
        folder: every audit has a run folder below it, so what was done is not done again.
        engine: study keys of where shadow models train. session: what all audits have them trained in.
        used: the data sets that were read, of those in ``data``.
        earlier: seconds that audits took in earlier runs, whose results were read.
        comparable: the data are the publication's own, and the size is not a smoke test's.
    """

    reproduction: Reproduction
    size: Size
    seed: int
    device: str
    folder: Path
    data: tuple[str, ...]
    progress: Progress = field(default_factory=Silent)
    announce: Callable[[str], None] = lambda name: None
    engine: Mapping[str, object] = field(default_factory=dict)
    session: EngineSession | None = None
    used: list[str] = field(default_factory=list)
    earlier: list[float] = field(default_factory=list)

    def pick(self, smoke: T, quick: T, full: T) -> T:
        """The value for this size."""
        return {"smoke": smoke, "quick": quick, "full": full}[self.size]

    @property
    def source(self) -> str:
        """The data set, where there is one."""
        return self.data[0]

    @property
    def comparable(self) -> bool:
        originals = tuple(options[0] for options in self.reproduction.data)
        return self.size != "smoke" and self.data == originals

    def dataset(self, source: str | None = None) -> Dataset:
        """The records of a source, read once."""
        self.used.append(source or self.source)
        return records_of(source or self.source)

    def audit(self, label: str, settings: Mapping[str, object], inputs: Inputs | None = None) -> Result:
        """Audit the study with these dotted keys (``{"training.epochs": 5}``); ``label`` names its folder.

        ``data.source``, ``run.seed`` and ``run.device`` are filled in where they are not set. ``given``: objects in
        place of names.
        """
        self.announce(label)
        study = self.study(label, settings)
        inputs = inputs or Inputs()
        self.used.append(study.data.source.partition("?")[0])
        if inputs.dataset is None:
            inputs = replace(inputs, dataset=records_of(study.data.source))
        begun = time.perf_counter()
        result = audit_or_reuse(study, inputs, self.progress, self.session)
        self.earlier.append(max(0.0, (result.parts.seconds or 0.0) - (time.perf_counter() - begun)))
        return result

    def study(self, label: str, settings: Mapping[str, object]) -> Study:
        """The study of an audit."""
        values: dict[str, object] = {}
        named = {"data.source": self.source, "run.seed": self.seed, "run.device": self.device}
        named |= {**self.engine, **settings}
        for key, value in named.items():
            put(values, key, value)
        safe = "".join(c if c.isalnum() or c in "-._" else "-" for c in label)
        put(values, "run.out", str(self.folder / "audits" / safe))
        return make_study(values, f"the audit {label}")

    def row(
        self,
        setting: str,
        measure: str,
        ours: Ours | None,
        why: str = "",
        *,
        beside: str | None = None,
        comparable: bool | None = None,
        tolerance: float | None = None,
    ) -> Row:
        """A line of the comparison; its published figure is found by table, setting and measure.

        ``beside``: the published measure that ours is one reading of, where it is called otherwise. A tolerance counts
        at sizes and on data that can be compared alone.
        """
        figure = self.published(setting, beside or measure)
        comparable = self.comparable if comparable is None else comparable and self.comparable
        return Row(setting, measure, figure, ours, why, comparable, tolerance if comparable else None, floor(measure))

    def rows(
        self,
        setting: str,
        result: Result,
        measures: Sequence[str],
        attack: str | None = None,
        why: str = "",
        **options: Any,
    ) -> list[Row]:
        """Lines for several measures of one audit: see ``figure``."""
        return [self.row(setting, m, figure(result, m, attack), why, **options) for m in measures]

    def published(self, setting: str, measure: str) -> Figure | None:
        """The published figure of a setting, None where the source prints none."""
        figures = published(self.reproduction.name)
        return next((f for f in figures if (f.setting, f.measure) == (setting, measure)), None)


def accuracy_of(run: Result, part: Literal["train", "test"] = "test") -> float:
    """How often the target is right on its own training records, or on others."""
    target = run.parts.target
    share_right = target.train_accuracy if part == "train" else target.test_accuracy
    if share_right is None:
        raise ValueError("an audit measures its target's accuracy")
    return share_right


def seed_of(run: Result) -> int:
    """The seed of an audit."""
    return int(run.data["study"]["run"]["seed"])


def figure(result: Result, measure: str, attack: str | None = None) -> Ours | None:
    """A figure of an audit: "test accuracy", "train accuracy", "attack accuracy", "attack precision", "attack recall",
    "AUC" or "TPR at 1%" of an attack, the headline by default. None where it was not measured."""
    seeds, parts = (seed_of(result),), result.parts
    if measure in OF_TARGET:
        value = getattr(parts.target, OF_TARGET[measure])
        n = parts.data.test if measure == "test accuracy" else parts.data.members
        return None if value is None or n is None else share(value, n, seeds)
    figures = parts.attack(attack)
    if measure.startswith("TPR at "):
        rate = float(measure.removeprefix("TPR at ").removesuffix("%")) / 100
        rows = figures.tpr_at_fpr if figures else ()
        part: Estimate | None = next((row for row in rows if np.isclose(row.fpr, rate)), None)
    else:
        part = getattr(figures, OF_ATTACK[measure], None)
    if part is None:
        return None
    return Ours(part.value, part.low, part.high, part.n_members + part.n_nonmembers, part.method, seeds)


def learnt(name: str, run: Result, rows: Sequence[str]) -> Condition:
    """Whether a target is better than always answering the commonest class; else ``rows`` mean nothing."""
    labels = records_of(run.parts.study["data"]["source"]).y
    chance = float(np.bincount(labels).max() / len(labels))
    accuracy = figure(run, "test accuracy")
    holds = accuracy is not None and accuracy.low is not None and accuracy.low > chance
    text = f"test accuracy {100 * accuracy_of(run):.1f}%, the commonest class {100 * chance:.1f}%"
    return Condition(name, holds, text, tuple(rows))


def floor(measure: str) -> float | None:
    """What guessing gives, where members are as many as non-members; None for figures of the target's own."""
    if measure.startswith("TPR at "):
        return float(measure.removeprefix("TPR at ").partition("%")[0]) / 100
    if "56:44" in measure:
        return 0.56
    guessed = ("attack accuracy", "attack precision", "AUC", "adversary")
    return HALF if any(word in measure for word in guessed) else None


def share(value: float, n: int, seeds: tuple[int, ...]) -> Ours:
    """A share of ``n`` records with its Clopper-Pearson interval."""
    low, high = clopper_pearson(round(value * n), n, CONFIDENCE)
    return Ours(value, float(low), float(high), n, "Clopper-Pearson over records", seeds)


def choose_data(reproduction: Reproduction) -> tuple[str, ...]:
    """For each data set the first of its options that is at hand, else the first that can be downloaded.

    Raises:
        DataError: there is none.
    """
    chosen = []
    for options in reproduction.data:
        choice = next((name for name in options if at_hand(SOURCES[name])), None)
        choice = choice or next((name for name in options if SOURCES[name].remotes), None)
        if choice is None:
            raise DataError(
                f"{reproduction.name} needs data that are not here",
                expected=" or ".join(options),
                fix=f"memberwise data get {options[-1]}",
            )
        chosen.append(choice)
    return tuple(chosen)


@cache
def records_of(source: str) -> Dataset:
    """The data set of that name, without a progress bar."""
    return load(source, progress=False)
