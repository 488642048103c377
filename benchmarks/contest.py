"""Contestants take turns (A B C A B C ...): time for a model and an epoch, test accuracy beside it, ratios by turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from contestants import Loop, Modules, Other, others
from limits import Peak, usual_operations
from results import Bar, Section, spread
from torch import nn
from workload import Workload, jobs_of, operations, plan_in_words, synchronise, train, whole_stacks

from memberwise.auditing.prepare import Prepared
from memberwise.signals.ask import collect
from memberwise.training.job import Job

OURS, LOOP, LOADER = "memberwise", "one-by-one loop", "one-by-one loop, DataLoader"


@dataclass
class Contestant:
    """``take(number of the turn)`` trains ``models`` models and gives seconds and test accuracy (or None)."""

    name: str
    models: int
    take: Callable[[int], tuple[float, float | None]]
    wanted: float | None = None
    seconds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


def contest(
    title: str,
    workload: Workload,
    *,
    turns: int,
    least: int = 4,
    single: int = 4,
    loop: float | None = None,
    share: float | None = None,
    with_others: bool = False,
    quick: bool = False,
) -> Section:
    """One comparison.

    Args:
        turns: how often each contestant trains; the first ratio comes after a warm-up turn that is not counted.
        least: models which our engine trains a turn, rounded up to whole stacks. single: of each other contestant.
        loop: the ratio to the one-by-one loop that is to be reached. share: of the bfloat16 matrix product's speed.
        with_others: a loop with a DataLoader and the trainers of other tools too.
    """
    ours = workload.prepare(max(least, single, 64))
    device = Loop(ours).device
    peaks = {precision: Peak(precision, device, quick) for precision in ("float32", "bfloat16")}
    with others(ours, with_others) as (tools, notes):
        entrants = _own(ours, whole_stacks(ours, least), single, loop, with_others) + _theirs(tools, workload, notes)
        speeds = _race(entrants, peaks, turns)
        accuracy = train(ours, jobs_of(ours, least), partial(collect, questions=ours.questions, vectors=False))
        entrants[0].accuracies.append(float(accuracy["test_accuracy"].mean()))
        section = _table(f"{title}: {workload}", entrants, workload)
        section.notes += [f"{tool} {o.facts['version']}, {o.facts['threads']} threads" for tool, o in tools.items()]
        section.notes += notes
    counts = {
        "what autograd computes, no gradient by the records": operations(ours),
        "6 a weight, or three forward passes": usual_operations(ours),
    }
    _add_shares(section, entrants[0], workload, speeds, counts, share)
    section.notes.insert(0, f"Our plan: {plan_in_words(ours)}; {entrants[0].models} models a turn.")
    return section


def _own(ours: Prepared, stacked: int, single: int, loop: float | None, loader: bool) -> list[Contestant]:
    jobs = jobs_of(ours, max(stacked, single, 64))

    def engine(turn: int) -> tuple[float, float | None]:
        return _timed(lambda: train(ours, _cycle(jobs, stacked, turn))), None

    def one_by_one(how: Loop, turn: int) -> tuple[float, float | None]:
        models: list[nn.Module] = []
        taken = _cycle(jobs, single, turn)
        seconds = _timed(lambda: models.extend(how.train(job) for job in taken))
        arrays = collect(
            Modules(models, how.device), taken, replace(ours.questions, audited=ours.questions.audited[:64]), False
        )
        return seconds, float(arrays["test_accuracy"].mean())

    own = [Contestant(OURS, stacked, engine), Contestant(LOOP, single, partial(one_by_one, Loop(ours)), loop)]
    if loader:
        own.append(Contestant(LOADER, single, partial(one_by_one, Loop(ours, loader=True))))
    return own


# Ratios to be reached against other tools, by tool and trainer.
WANTED = {
    "ART PyTorchClassifier.fit": 4.0,
    "PrivacyGuard train_model": 8.0,
    "PrivacyGuard train_model, one test batch": 8.0,
}


# A turn of another tool's trainer trains one model where it would take longer than this with two.
LONG = 1.0


def _theirs(tools: dict[str, Other], workload: Workload, notes: list[str]) -> list[Contestant]:
    """Their trainers, each tried once; what fails is said in ``notes``."""

    def take(other: Other, trainer: str, models: int, turn: int) -> tuple[float, float]:
        answer = other.train(trainer, models, workload.epochs, workload.batch, turn)
        return answer["seconds"], answer["accuracy"]

    found = []
    for tool, other in tools.items():
        for trainer in other.facts["trainers"]:
            name = f"{tool} {trainer}"
            try:
                seconds = other.train(trainer, 1, 1, workload.batch, 0)["seconds"]
            except RuntimeError as error:
                notes.append(f"{name} failed: {error}")
                continue
            models = 1 if 2 * workload.epochs * seconds > LONG else 2
            found.append(Contestant(name, models, partial(take, other, trainer, models), WANTED.get(name)))
    return found


def _race(entrants: list[Contestant], peaks: dict[str, Peak], turns: int) -> dict[str, list[float]]:
    """Turn by turn; gives the speed of matrix products in each turn. The first turn only warms up."""
    speeds: dict[str, list[float]] = {precision: [] for precision in peaks}
    for turn in range(turns + 1):
        for contestant in entrants:
            seconds, accuracy = contestant.take(turn)
            if turn:
                contestant.seconds.append(seconds / contestant.models)
            if turn and accuracy is not None:
                contestant.accuracies.append(accuracy)
        if turn:
            for precision, peak in peaks.items():
                speeds[precision].append(peak.again())
    return speeds


def _table(title: str, entrants: list[Contestant], workload: Workload) -> Section:
    section = Section(title)
    ours = entrants[0]
    for contestant in entrants:
        ratios = _ratios(contestant.seconds, ours.seconds)
        section.rows.append(
            {
                "contestant": contestant.name,
                "ms a model and epoch": spread([1e3 * s / workload.epochs for s in contestant.seconds]),
                "times ours": spread(ratios),
                "test accuracy, %": 100 * float(np.mean(contestant.accuracies)),
                "models a turn": contestant.models,
            }
        )
        if contestant.wanted:
            section.bars.append(Bar(f"times as fast as {contestant.name}", spread(ratios)["median"], contestant.wanted))
        section.raw[contestant.name] = {"seconds a model": contestant.seconds, "accuracies": contestant.accuracies}
    return section


def _add_shares(
    section: Section,
    ours: Contestant,
    workload: Workload,
    speeds: dict[str, list[float]],
    counts: dict[str, float],
    share: float | None,
) -> None:
    """Operations a second and their share of the matrix product's, by each way to count them."""
    section.raw["GFLOP/s"] = dict(speeds)
    products = ", ".join(f"{_said(found)} in {precision}" for precision, found in speeds.items())
    section.notes.append(f"One matrix product, GFLOP/s: {products}.")
    for counted, per_record in counts.items():
        mine = [per_record * workload.records * workload.epochs / 1e9 / seconds for seconds in ours.seconds]
        shares = _ratios(mine, speeds["bfloat16"])
        section.raw["GFLOP/s"][f"ours, counting {counted}"] = mine
        section.notes.append(
            f"Ours, counting {counted} ({per_record / 1e3:,.0f} thousand operations a record): {_said(mine)} GFLOP/s, "
            f"{_said(shares)} of the bfloat16 product."
        )
        if share is not None:
            what = f"share of the bfloat16 matrix product's speed, counting {counted}"
            section.bars.append(Bar(what, spread(shares)["median"], share))


def _said(values: list[float]) -> str:
    found = spread(values)
    return f"{found['median']:.3g} ({found['low']:.3g} to {found['high']:.3g})"


def _ratios(above: Iterable[float], below: Iterable[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def _cycle(jobs: list[Job], count: int, turn: int) -> list[Job]:
    """Other jobs every turn."""
    return [jobs[(turn * count + i) % len(jobs)] for i in range(count)]


def _timed(work: Callable[[], Any]) -> float:
    synchronise()
    begun = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - begun
