"""Is the fast training the same training? Test accuracy and LiRA's AUC, ours against a float32 loop, pair by pair."""

from __future__ import annotations

from functools import partial

import numpy as np
from contestants import Loop, Modules
from numpy.typing import NDArray
from results import Bar, Section
from scipy import stats
from workload import Arrays, Workload, jobs_of, plan_in_words, train

from memberwise.attacks.registry import ATTACKS
from memberwise.auditing.prepare import Prepared
from memberwise.signals.ask import collect
from memberwise.signals.codec import answers_of
from memberwise.signals.leave_one_out import as_target
from memberwise.signals.table import Answers, Signals
from memberwise.statistics import auc

ATTACK = ATTACKS["lira-online-fixed"]
STAND_INS = 16


def accuracy(workload: Workload, models: int) -> Section:
    """``models`` shadow models and a target, trained both ways from the same seeds and on the same rows."""
    ours = workload.prepare(models)
    jobs = jobs_of(ours, models)
    gather = partial(collect, questions=ours.questions, vectors=False)
    fast, fast_target = train(ours, jobs, gather), gather(ours.trainer.train([ours.target_job]), [ours.target_job])
    loop = Loop(ours)
    slow, slow_target = (
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in (
            [gather(Modules([loop.train(job)], loop.device), [job]) for job in group]
            for group in (jobs, [ours.target_job])
        )
    )
    section = Section(f"The same training: {workload}, {models} models")
    _accuracies(section, fast, slow)
    for name, target, shadows in (
        ("LiRA's AUC, target and shadows float32 one by one", slow_target, slow),
        ("LiRA's AUC, target float32 one by one, shadows ours", slow_target, fast),
        ("LiRA's AUC, target and shadows ours", fast_target, fast),
    ):
        found = auc(_scores(_table(ours, target, shadows)), ours.roles.member)
        section.rows.append(_row(name, found.value, found.low, found.high, f"{len(ours.roles.audited):,} records"))
    _hold_to_interval(section)
    _stand_ins(section, ours, fast_target, fast, slow)
    section.notes.append(f"Our plan: {plan_in_words(ours)}.")
    return section


def _accuracies(section: Section, fast: Arrays, slow: Arrays) -> None:
    ours, theirs = 100 * fast["test_accuracy"], 100 * slow["test_accuracy"]
    count = f"{len(ours)} models"
    section.rows += [
        _row("test accuracy, ours, %", *_mean(ours), count),
        _row("test accuracy, float32 one by one, %", *_mean(theirs), count),
        _row("difference by model, points", *_mean(ours - theirs), count),
    ]
    section.raw["test_accuracy"] = {"ours": ours.tolist(), "one by one": theirs.tolist()}
    section.bars.append(Bar("mean test accuracy, points from float32", abs(float((ours - theirs).mean())), 0.3, "<="))


def _hold_to_interval(section: Section) -> None:
    """The AUC from our shadows lies within the interval of that from float32 shadows, on the same target."""
    reference, mixed = section.rows[-3], section.rows[-2]
    half = mixed["value"] - reference["value"]
    room = reference["high"] - reference["value"] if half > 0 else reference["value"] - reference["low"]
    section.bars.append(
        Bar("LiRA's AUC from our shadows, share of the interval's half used up", abs(half) / room, 1.0, "<=")
    )


def _stand_ins(section: Section, ours: Prepared, target: Arrays, fast: Arrays, slow: Arrays) -> None:
    """The same over many targets: shadow models in the target's place, pair by pair."""
    found: list[list[float]] = []
    for shadows in (fast, slow):
        table = _table(ours, target, shadows)
        stand_ins = [
            as_target(table, k, np.random.default_rng(k)) for k in range(min(STAND_INS, len(table.trained_on)))
        ]
        found.append([auc(_scores(s.signals), s.member).value for s in stand_ins])
    both = np.asarray(found)
    section.rows.append(
        _row(
            "LiRA's AUC, mean difference ours - float32 over stand-in targets",
            *_mean(both[0] - both[1]),
            f"{both.shape[1]} targets",
        )
    )
    section.raw["stand-in AUC"] = {"ours": found[0], "one by one": found[1]}


def _table(ours: Prepared, target: Arrays, shadows: Arrays) -> Signals:
    audited, jobs = ours.roles.audited, jobs_of(ours, len(shadows["kind"]))
    trained_on = np.stack([np.isin(audited, job.rows) for job in jobs]).astype(np.int8)
    return Signals(audited, ours.dataset.y[audited], _answers(target), _answers(shadows), trained_on)


def _answers(arrays: Arrays) -> Answers:
    answers = answers_of(arrays, "audited")
    assert answers is not None
    return answers


def _scores(signals: Signals) -> NDArray[np.float64]:
    return np.asarray(ATTACK.score(signals, np.random.default_rng(0)), np.float64)


def _mean(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean and its 95 % interval (Student's t)."""
    mean, half = float(values.mean()), 0.0
    if len(values) > 1:
        half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def _row(what: str, value: float, low: float | None, high: float | None, over: str) -> dict[str, object]:
    return {"what": what, "value": value, "low": low, "high": high, "over": over}
