"""How often the intervals of TPR, PPV and AUC miss, on either side, and how wide they are: simulated or enumerated.

    python benchmarks/interval_coverage.py tpr --runs 2000 --members 1000 --nonmembers 1000 --rates 0.1 0.01
    python benchmarks/interval_coverage.py ppv
    python benchmarks/interval_coverage.py auc

Rows are printed and, with --out FILE, added to a list in JSON. A width is given in units of the best interval for a
known asymptotic variance, 2 * 1.96 * sqrt(TPR (1 - TPR) / n1 + slope^2 FPR (1 - FPR) / n0), where the ROC has a slope.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

from memberwise.statistics import Counts, auc
from memberwise.statistics.curve import tpr_interval
from memberwise.statistics.prior import ratio_interval

Floats = NDArray[np.float64]
ERROR = 0.025


@dataclass(frozen=True)
class Scores:
    """A distribution of scores by its ROC curve: points joined by lines, a jump where a rate stands twice.

    Attributes:
        fpr, tpr: ``(k,)`` ascending from 0 to 1. ties: ``(c, 2)`` stretches of rates that have one score.
    """

    fpr: Floats
    tpr: Floats
    ties: Floats = field(default_factory=lambda: np.zeros((0, 2)))

    def draw(self, rng: np.random.Generator, n1: int, n0: int) -> tuple[Floats, Floats]:
        """Scores of members and of non-members, ascending: minus the false-positive rate above them."""
        at = rng.random(n1)
        k = np.clip(np.searchsorted(self.tpr, at), 1, len(self.tpr) - 1)
        rise = self.tpr[k] - self.tpr[k - 1]
        share = (at - self.tpr[k - 1]) / np.where(rise > 0, rise, 1)
        members = self.fpr[k - 1] + np.where(rise > 0, share, 1) * (self.fpr[k] - self.fpr[k - 1])
        return np.sort(-self._tied(members)), np.sort(-self._tied(rng.random(n0)))

    def _tied(self, rates: Floats) -> Floats:
        if not len(self.ties):
            return rates
        k = np.clip(np.searchsorted(self.ties[:, 1], rates), 0, len(self.ties) - 1)
        return np.where((rates > self.ties[k, 0]) & (rates <= self.ties[k, 1]), self.ties[k, 1], rates)

    def truth(self, rate: float) -> float:
        """The true-positive rate at the smallest threshold whose false-positive rate is at most ``rate``."""
        within = (self.ties[:, 0] < rate * (1 - 1e-9)) & (rate < self.ties[:, 1] * (1 - 1e-9))
        reached = float(self.ties[within, 0][0]) if within.any() else rate
        last = int(np.searchsorted(self.fpr, reached, "right")) - 1
        if last == len(self.fpr) - 1:
            return 1.0
        share = (reached - self.fpr[last]) / (self.fpr[last + 1] - self.fpr[last])
        return float(self.tpr[last] + share * (self.tpr[last + 1] - self.tpr[last]))

    def best_width(self, rate: float, n1: int, n0: int) -> float:
        slope = (self.truth(rate * 1.0001) - self.truth(rate * 0.9999)) / (0.0002 * rate)
        share = self.truth(rate)
        return 2 * 1.96 * sqrt(share * (1 - share) / n1 + slope**2 * rate * (1 - rate) / n0)


def curve(tpr: Callable[[Floats], Floats], ties: Floats | None = None) -> Scores:
    rates = np.r_[0, np.geomspace(1e-7, 1, 4000)]
    return Scores(rates, tpr(rates), np.zeros((0, 2)) if ties is None else ties)


def shifted(shift: float, rounded: float | None = None) -> Scores:
    """Gaussian scores, the members' shifted; rounded down to multiples where ties are wanted."""
    ties = None
    if rounded is not None:
        edges = norm.sf(np.arange(-9, 9, rounded))[::-1]
        ties = np.stack([np.r_[0, edges[:-1]], edges], 1)
    return curve(lambda rates: norm.cdf(norm.ppf(rates) + shift), ties)


def points(*pairs: tuple[float, float], ties: list[tuple[float, float]] | None = None) -> Scores:
    fpr, tpr = np.array(pairs, dtype=np.float64).T
    return Scores(fpr, tpr, np.array(ties or [], dtype=np.float64).reshape(-1, 2))


def cases(rate: float, n0: int) -> dict[str, Scores]:
    """What scores can be like around a rate: the bends, jumps and ties are put where they do most harm."""
    doubt, over = sqrt(rate * (1 - rate) / n0), rate * (1 + 1e-6)
    one = rate + doubt
    return {
        "nothing": shifted(0.0),
        "shift 1": shifted(1.0),
        "shift 2.5": shifted(2.5),
        "shift 4": shifted(4.0),
        "power 0.3": curve(lambda rates: rates**0.3),
        "steep, then flat": points((0, 0), (max(0.0, rate - 4 * doubt), 0.1), (rate, 0.4), (1, 1)),
        "flat, then steep": points((0, 0), (rate, 0.1), (min(0.999, rate + 4 * doubt), 0.4), (1, 1)),
        "jump of 0.05 within": points((0, 0), (rate, 0.2), (rate, 0.25), (1, 1)),
        "jump of 0.3 within": points((0, 0), (rate, 0.2), (rate, 0.5), (1, 1)),
        "jump of 0.3 beyond": points((0, 0), (over, 0.2), (over, 0.5), (1, 1)),
        "saturated at the rate": points((0, 0), (rate, 0.4), (1, 1), ties=[(0, rate)]),
        "saturated beyond": points((0, 0), (over, 0.4), (1, 1), ties=[(0, over)]),
        "saturated further": points((0, 0), (one, 0.4), (1, 1), ties=[(0, one)]),
        "saturated in half": points((0, 0), (rate / 2, 0.3), (1, 1), ties=[(0, rate / 2)]),
        "rounded to 0.05": shifted(1.0, 0.05),
        "rounded to 0.5": shifted(1.0, 0.5),
        "rounded to 1": shifted(1.0, 1.0),
    }


def tpr_rows(n1: int, n0: int, rates: list[float], runs: int) -> list[dict[str, Any]]:
    rows = []
    for rate in rates:
        for number, (name, scores) in enumerate(cases(rate, n0).items()):
            rng = np.random.default_rng([n1, n0, number])
            truth, best = scores.truth(rate), scores.best_width(rate, n1, n0)
            ends = np.array([tpr_interval(*scores.draw(rng, n1, n0), rate, ERROR) for _ in range(runs)])
            too_high, too_low = (ends[:, 0] > truth + 1e-9).mean(), (ends[:, 1] < truth - 1e-9).mean()
            smooth = not len(scores.ties) and "jump" not in name
            rows.append(
                {
                    "figure": "tpr",
                    "scores": name,
                    "n_members": n1,
                    "n_nonmembers": n0,
                    "fpr": rate,
                    "truth": round(truth, 4),
                    "runs": runs,
                    "covered": round(1 - too_high - too_low, 4),
                    "low_missed": round(too_high, 4),
                    "high_missed": round(too_low, 4),
                    "width": round(float(np.diff(ends).mean()), 4),
                    "times_best": round(float(np.diff(ends).mean()) / best, 3) if smooth else None,
                }
            )
            print(rows[-1], flush=True)
    return rows


def ppv_rows() -> list[dict[str, Any]]:
    """Enumerated: of TPR / FPR, of which the PPV is a function whatever the prior."""
    rows = []
    for n1, n0, tpr, fpr in [(300, 300, 0.3, 0.05), (300, 300, 0.03, 0.01), (1000, 1000, 0.5, 0.1), (50, 50, 0.3, 0.1),
                             (50, 500, 0.2, 0.05), (500, 50, 0.2, 0.1), (5000, 5000, 0.02, 0.001)]:  # fmt: skip
        ks, js = (np.arange(n + 1)[binom.pmf(np.arange(n + 1), n, p) > 1e-4] for n, p in ((n1, tpr), (n0, fpr)))
        missed, total, width = np.zeros(2), 0.0, 0.0
        for k in ks[:: max(1, len(ks) // 40)]:
            for j in js[:: max(1, len(js) // 40)]:
                weight = float(binom.pmf(k, n1, tpr) * binom.pmf(j, n0, fpr))
                low, high = ratio_interval(Counts(int(k), n1, int(j), n0), ERROR)
                total += weight
                missed += weight * np.array([low > tpr / fpr, high < tpr / fpr])
                width += weight * (np.log(high / low) if low > 0 and np.isfinite(high) else 0.0)
        best = 2 * 1.96 * sqrt((1 - tpr) / (tpr * n1) + (1 - fpr) / (fpr * n0))
        rows.append(
            {
                "figure": "ppv",
                "n_members": n1,
                "n_nonmembers": n0,
                "tpr": tpr,
                "fpr": fpr,
                "covered": round(1 - missed.sum() / total, 4),
                "low_missed": round(missed[0] / total, 4),
                "high_missed": round(missed[1] / total, 4),
                "times_best": round(width / total / best, 3),
            }
        )
        print(rows[-1], flush=True)
    return rows


def auc_rows() -> list[dict[str, Any]]:
    """Enumerated: the least coverage over binary scores, with shares of ones from 0.2 % to 99.8 % on either side."""
    rows, shares = [], np.r_[0.002, 0.01, np.linspace(0.02, 0.98, 25), 0.99, 0.998]
    for n1, n0 in [(20, 20), (20, 60), (50, 50), (10, 200)]:
        ends = np.empty((n1 + 1, n0 + 1, 2))
        for k in range(n1 + 1):
            for j in range(n0 + 1):
                found = auc(np.r_[np.arange(n1) < k, np.arange(n0) < j].astype(float), np.arange(n1 + n0) < n1)
                ends[k, j] = found.low, found.high
        covered, one_sided, width = [], [], []
        for p1 in shares:
            for p0 in shares:
                weight = np.outer(binom.pmf(np.arange(n1 + 1), n1, p1), binom.pmf(np.arange(n0 + 1), n0, p0))
                truth = 0.5 + (p1 - p0) / 2
                missed = [
                    (weight * (ends[..., 0] > truth + 1e-12)).sum(),
                    (weight * (ends[..., 1] < truth - 1e-12)).sum(),
                ]
                covered.append(1 - sum(missed))
                one_sided.append(max(missed))
                width.append((weight * (ends[..., 1] - ends[..., 0])).sum())
        rows.append({"figure": "auc of binary scores", "n_members": n1, "n_nonmembers": n0,
                     "least_covered": round(float(min(covered)), 4), "most_missed_on_a_side": round(max(one_sided), 4),
                     "mean_width": round(float(np.mean(width)), 4)})  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=["tpr", "ppv", "auc"])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--nonmembers", type=int, default=1000)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.01])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.figure == "tpr":
        rows = tpr_rows(asked.members, asked.nonmembers, asked.rates, asked.runs)
    else:
        rows = ppv_rows() if asked.figure == "ppv" else auc_rows()
    if asked.out:
        kept = json.loads(asked.out.read_text("utf-8")) if asked.out.exists() else []
        lines = ",\n".join(json.dumps(row) for row in [*kept, *rows])
        asked.out.write_text(f"[\n{lines}\n]\n", "utf-8")


if __name__ == "__main__":
    main()
