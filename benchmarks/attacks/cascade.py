"""Cascades and proxies (CMIA and PMIA, Du et al. 2026, arXiv:2511.04716) beside what an audit has, at equal cost.

``python benchmarks/attacks/cascade.py [--data NAME] [--first 4] [--more 4] [--targets 6]``. A cascade spends some of
the shadow models on a second round, of which records that the first was sure of (``learned``, a calibrated probability)
are where it says that the target has them, and the others halves of complementary pairs; or every record is where its
probability puts it. Equal cost is ``learned`` with as many models at once. Proxies read what models that trained on
*other* records of the class, or on the nearest of these, answer about them, and only OUT models of the record itself.
Figures by target go to results/cascade.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pools import POOLS, TEMPERATURES
from scipy.special import logit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from memberwise.attacks import ATTACKS
from memberwise.auditing.prepare import Inputs, prepare
from memberwise.auditing.resolve import resolve
from memberwise.signals.ask import collect
from memberwise.signals.codec import answers_of, early_of, join
from memberwise.signals.table import Answers, EarlyAnswers, Signals
from memberwise.statistics import tpr_at
from memberwise.study.schema import Study
from memberwise.training.job import Job
from memberwise.types.arrays import Arrays, Floats, Mask

RESULTS = Path(__file__).parent.parent / "results" / "cascade.json"
# Surer than this, or less sure than 1 - this, a record is taken for decided.
SURE = (0.9, 0.75)
Models = tuple[Arrays, NDArray[np.int8]]


class Pool:
    """Shadow models and targets of one data set, and models on rows of one's own."""

    def __init__(self, name: str, shadows: int, targets: int) -> None:
        count = shadows + 2 * targets
        study = POOLS[name] | {"shadow": {"count": count}, "run": {"seed": 1, "device": "cpu"}}
        self.audit = prepare(resolve(Study.model_validate(study)), Inputs())
        self.audited, self.data = self.audit.roles.audited, self.audit.dataset
        self.jobs = [self.audit.shadow_job(k) for k in range(count)]
        self.shadows = self.train([replace(job, early=True) for job in self.jobs[:shadows]])
        self.targets = self.train([replace(job, early=False) for job in self.jobs[shadows::2]])

    def train(self, jobs: Sequence[Job]) -> Models:
        """What the models answer, and who trained on which audited record, ``(m, n)``."""
        questions = replace(self.audit.shadow_questions, temperatures=TEMPERATURES)
        ask, block = partial(collect, questions=questions, vectors=True), self.audit.trainer.describe().block
        parts = [self.audit.trainer.run(jobs[k : k + block], ask) for k in range(0, len(jobs), block)]
        return join(parts, len(jobs)), np.array([np.isin(self.audited, job.rows) for job in jobs], np.int8)

    def table(self, target: int, models: Models, count: int | None = None) -> tuple[Signals, Mask]:
        """A target beside the first ``count`` of these models; the truth ``(n,)``."""
        (arrays, inside), (own, members) = models, self.targets
        keep, population = np.arange(len(inside))[:count], self.audit.roles.population
        table = Signals(
            self.audited,
            self.data.y[self.audited].astype(np.int64),
            _answers(own, "audited", np.array([target])),
            _answers(arrays, "audited", keep),
            inside[keep],
            population_target=_answers(own, "population", np.array([target])),
            population_shadows=_answers(arrays, "population", keep),
            population_labels=self.data.y[population].astype(np.int64),
            members=float(members[target].mean()),
            early=_early(arrays, keep),
        )
        return table, members[target] == 1

    def second_round(self, p: Floats, count: int, seed: int, sure: float | None) -> list[Job]:
        """Jobs in complementary pairs: of decided records alike, of the others halves; by probability without ``sure``.

        ``p``: ``(n,)`` probabilities of "member".
        """
        rng, jobs = np.random.default_rng(seed), []
        undecided = np.ones(len(p), bool) if sure is None else (p < sure) & (p > 1 - sure)
        for pair in range(count // 2):
            lots = rng.random(len(p)) if sure is None else _half(undecided, rng)
            for k, side in enumerate((lots, 1 - lots)):
                inside = side < p if sure is None else (side > 0.5) & undecided | (p >= sure)
                rows, job = np.sort(self.audited[inside]), self.jobs[2 * pair + k]
                jobs.append(replace(job, rows=rows, seed=int(rng.integers(2**31)), early=True))
        return jobs

    def nearest(self, k: int) -> NDArray[np.intp]:
        """``(n, k)`` positions of the nearest other audited records of the class."""
        x = np.asarray(self.data.x[self.audited], np.float64).reshape(len(self.audited), -1)
        squares, labels = (x**2).sum(1), self.data.y[self.audited]
        apart = squares[:, None] + squares - 2 * x @ x.T
        apart[(labels[:, None] != labels) | np.eye(len(x), dtype=bool)] = np.inf
        return np.argsort(apart, 1)[:, :k]


def _half(undecided: Mask, rng: np.random.Generator) -> Floats:
    """``(n,)``: 1 for a random half of the undecided, 0 for the others."""
    chosen = rng.permutation(np.flatnonzero(undecided))
    lots = np.zeros(len(undecided))
    lots[chosen[: len(chosen) // 2]] = 1
    return lots


def _answers(arrays: Arrays, who: str, models: NDArray[np.intp]) -> Answers:
    answers = answers_of(arrays, who)
    assert answers is not None
    return answers.of_models(models)


def _early(arrays: Arrays, models: NDArray[np.intp]) -> EarlyAnswers | None:
    if not (audited := early_of(arrays)):
        return None
    records, positions = (arrays[f"early{name}.positions"][0] for name in ("", ".population"))
    early = EarlyAnswers(records, audited, early_of(arrays, ".population"), positions)
    return early.each(lambda answers: answers.of_models(models[models < answers.models]))


def log_ratio(signals: Signals) -> Floats:
    """``(n,)``: log ratio of Gaussians around the mean of either side, of one spread a side, at temperature 2."""
    assert signals.shadows is not None
    own, phi = signals.target.phi_at(2)[0].mean(-1), signals.shadows.phi_at(2).mean(-1)
    parts = []
    for side in (signals.is_in, signals.is_out):
        count = side.sum(0)
        mean = phi.sum(0, where=side) / np.maximum(count, 1)
        spread = np.square(phi - mean).sum(where=side) / max(1, np.maximum(count - 1, 0).sum())
        width = np.sqrt(spread * (1 + 1 / np.maximum(count, 1)))
        parts.append(np.where(count > 0, norm.logpdf(own, mean, width), 0.0))
    return np.asarray(parts[0] - parts[1])


def proxy(signals: Signals, near: NDArray[np.intp] | None) -> Floats:
    """``(n,)``: as PMIA: IN by other records' answers under models that trained on them, OUT by the record's own.

    Args:
        near: ``(n, k)`` positions of those others; all of the class without.
    """
    assert signals.shadows is not None
    own, phi, inside = signals.target.phi[0], signals.shadows.phi, signals.is_in
    scores = np.empty(signals.records)
    for i in range(signals.records):
        others = np.flatnonzero(signals.labels == signals.labels[i]) if near is None else near[i]
        seen, unseen = phi[:, others[others != i]][inside[:, others[others != i]]], phi[~inside[:, i], i]
        sides = [norm.logpdf(own[i], np.median(side, 0), side.std(0) + 1e-6) for side in (seen, unseen)]
        scores[i] = np.mean(sides[0] - sides[1])
    return scores


def figures(scores: Floats, member: Mask) -> list[float]:
    """AUC and TPR at 1 %."""
    filled = np.nan_to_num(scores, nan=-1e9)
    return [round(float(roc_auc_score(member, filled)), 5), round(tpr_at(filled, member, 0.01), 5)]


def of_target(pool: Pool, target: int, first: int, more: int) -> dict[str, list[float]]:
    """Figures of everything for one target."""
    rng = np.random.default_rng

    def scored(name: str, signals: Signals) -> Floats:
        return np.asarray(ATTACKS[name].score(signals, rng(target)))

    whole, member = pool.table(target, pool.shadows, first + more)
    names = ("learned", "learned-offline", "base", "lira-offline", "rmia-offline")
    found = {f"{name}, {first + more}": figures(scored(name, whole), member) for name in names}
    for words, near in (("the class", None), ("the nearest", pool.nearest(1)), ("the 5 nearest", pool.nearest(5))):
        found[f"proxies of {words}, {first + more}"] = figures(proxy(whole, near), member)
    p = scored("learned", pool.table(target, pool.shadows, first)[0])
    prior = logit(np.clip(p, 1e-6, 1 - 1e-6))
    found[f"learned, {first}"] = figures(prior, member)
    for sure in (*SURE, None):
        name = f"cascade, {first} + {more}, " + ("by probability" if sure is None else f"sure from {sure}")
        second, _ = pool.table(target, pool.train(pool.second_round(p, more, target, sure)))
        undecided = np.ones(len(p), bool) if sure is None else (p < sure) & (p > 1 - sure)
        decided = (p >= 0.5)[~undecided] == member[~undecided]
        found[f"{name}: share undecided, of the others right"] = [
            float(undecided.mean()),
            float(decided.mean() if decided.size else 1),
        ]
        for weight in (0.25, 0.5, 1.0):
            ratio = np.where(undecided, weight * log_ratio(second), 0.0)
            found[f"{name}: log odds + {weight} log ratio"] = figures(prior + ratio, member)
        if sure is None:
            continue
        rows = np.flatnonzero(undecided)
        again = scored("learned", replace(second.of_records(rows), members=float(p[rows].mean())))
        odds = np.where(np.isnan(again), prior[rows], logit(np.clip(again, 1e-6, 1 - 1e-6)))
        for words, mixed in (("alone", odds), ("mean", (prior[rows] + odds) / 2), ("sum", prior[rows] + odds)):
            final = prior.copy()
            final[rows] = mixed
            found[f"{name}: learned again, {words}"] = figures(final, member)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="Location-30", choices=list(POOLS), metavar="NAME")
    parser.add_argument("--first", type=int, default=4)
    parser.add_argument("--more", type=int, default=4)
    parser.add_argument("--targets", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    pool = Pool(asked.data, asked.first + asked.more, asked.targets)
    rows = [of_target(pool, target, asked.first, asked.more) for target in range(asked.targets)]
    run = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    run[f"{asked.data}, {asked.first} + {asked.more}"] = {name: [row[name] for row in rows] for name in rows[0]}
    asked.out.write_text(json.dumps(run, indent=1) + "\n")
    base = np.array([row[f"learned, {asked.first + asked.more}"] for row in rows])
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        apart = (values - base).std(0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.zeros(2)
        print(f"{name:60s}", values.mean(0).round(4), "-", (values - base).mean(0).round(4), "s.e.", apart.round(4))


if __name__ == "__main__":
    main()
