"""The contract's attacks and statistics once more: plain loops over float64, sharing no code with the package.

Written from the design and the algorithm reference alone, as the slow side of a comparison: one record, one model
and one class at a time. Higher score = more likely a member. ``m`` models, ``n`` records, ``C`` classes.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import simpson
from scipy.special import betainc, betaincinv
from scipy.stats import binom, norm
from scipy.stats import t as student

FLOORS = {"probabilities": 1e-30, "scores": 1e-12}


# ---- one answer ------------------------------------------------------------------------------------------------


def logsumexp(values: Any) -> Any:
    values = list(values)
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def probabilities(answer: Any, kind: Any) -> Any:
    answer = [float(v) for v in answer]
    return [math.exp(log_p(answer, j, kind)) for j in range(len(answer))] if kind == "logits" else answer


def log_pair(answer: Any, label: Any, kind: Any) -> tuple[Any, Any]:
    """log p_y, and log(1 - p_y) from the other classes; from logits both by way of z_y - logsumexp of the others.

    Scores need not sum to 1: there it is log(1 - p_y) as written.
    """
    answer = [float(v) for v in answer]
    others = [v for j, v in enumerate(answer) if j != label]
    if kind == "logits":
        margin = answer[label] - logsumexp(others)
        return -_log_one_plus_exp(-margin), -_log_one_plus_exp(margin)
    floor = FLOORS[kind]
    rest = 1 - answer[label] if kind == "scores" else math.fsum(others)
    return math.log(max(answer[label], floor)), math.log(max(rest, floor))


def _log_one_plus_exp(x: Any) -> Any:
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def stored(value: Any) -> float:
    """As the table of signals keeps it: float32."""
    return float(np.float32(value))


def log_p(answer: Any, label: Any, kind: Any) -> Any:
    return log_pair(answer, label, kind)[0]


def log_1mp(answer: Any, label: Any, kind: Any) -> Any:
    return log_pair(answer, label, kind)[1]


def phi(answer: Any, label: Any, kind: Any) -> Any:
    """The scaled logit."""
    own, rest = log_pair(answer, label, kind)
    return stored(own) - stored(rest)


def gap(answer: Any, label: Any, kind: Any) -> Any:
    return 1.0 if int(np.argmax(answer)) == label else 0.0


def loss(answer: Any, label: Any, kind: Any) -> Any:
    return stored(log_p(answer, label, kind))


def softened(temperature: float) -> Any:
    """The loss at a temperature: log p_y of softmax(log p / T); of scores what is left of 1 is one class more."""

    def signal(answer: Any, label: Any, kind: Any) -> Any:
        if temperature == 1:
            return loss(answer, label, kind)
        values = [float(v) for v in answer]
        if kind == "logits":
            margin = values[label] / temperature - logsumexp(v / temperature for v in set_apart(values, label))
        else:
            rest = [*set_apart(values, label), max(1 - math.fsum(values), 0.0) if kind == "scores" else 0.0]
            floor = FLOORS[kind] ** (1 / temperature)
            others = sum(v ** (1 / temperature) for v in rest if v > 0)
            margin = math.log(max(values[label] ** (1 / temperature), floor)) - math.log(max(others, floor))
        return -_log_one_plus_exp(-stored(margin))

    return signal


def set_apart(values: Any, label: Any) -> Any:
    """All values but the label's."""
    return [v for j, v in enumerate(values) if j != label]


def confidence(answer: Any, label: Any, kind: Any) -> Any:
    return max(probabilities(answer, kind))


def entropy(answer: Any, label: Any, kind: Any) -> Any:
    return sum(p * math.log(p) for p in probabilities(answer, kind) if p > 0)


def mentr(answer: Any, label: Any, kind: Any) -> Any:
    """(1 - p_y) log p_y + sum over the others of p_j log(1 - p_j)."""
    p = probabilities(answer, kind)
    rest = math.exp(_log_one_minus(answer, label, kind))
    others = (p[j] * _log_one_minus(answer, j, kind) for j in range(len(p)) if j != label)
    return rest * log_p(answer, label, kind) + sum(others)


def _log_one_minus(answer: Any, j: Any, kind: Any) -> Any:
    """log(1 - p_j), without loss where p_j is close to 0 or 1."""
    own = float(answer[j])
    return math.log1p(-own) if kind == "probabilities" and own < 0.5 else log_1mp(answer, j, kind)


def l2(answer: Any, label: Any, kind: Any) -> Any:
    return -sum((v - (1.0 if j == label else 0.0)) ** 2 for j, v in enumerate(probabilities(answer, kind)))


def top_one(answer: Any, label: Any, kind: Any) -> Any:
    return max(float(v) for v in answer)


SIGNALS = {
    "gap": gap,
    "loss": loss,
    "confidence": confidence,
    "entropy": entropy,
    "mentr": mentr,
    "l2": l2,
    "top-one": top_one,
}


def signal(name: Any, answers: Any, labels: Any, kind: Any) -> NDArray[Any]:
    """``(n,)`` scores of one signal."""
    return np.array([SIGNALS[name](a, int(y), kind) for a, y in zip(answers, labels, strict=True)])


# ---- thresholds ------------------------------------------------------------------------------------------------


def best_cuts(scores: Any, member: Any) -> tuple[float, list[Any]]:
    """Largest TPR + TNR of "member iff score >= cut" and every observed cut that reaches it."""
    n1, n0 = int(sum(member)), int(len(member) - sum(member))
    sums = {}
    for cut in sorted({float(s) for s in scores}):
        tp = sum(1 for s, b in zip(scores, member, strict=True) if b and s >= cut)
        tn = sum(1 for s, b in zip(scores, member, strict=True) if not b and s < cut)
        sums[cut] = Fraction(tp, n1) + Fraction(tn, n0)
    best = max(sums.values())
    return float(best), [cut for cut, value in sums.items() if value == best]


def classwise_cuts(name: Any, shadow_answers: Any, labels: Any, trained_on: Any, kind: Any) -> Any:
    """For each class the largest TPR + TNR over the shadow models' records of it, and the cuts that reach it."""
    found = {}
    for c in sorted({int(y) for y in labels}):
        scores, member = [], []
        for k in range(len(shadow_answers)):
            for i, y in enumerate(labels):
                if y == c:
                    scores.append(SIGNALS[name](shadow_answers[k][i], c, kind))
                    member.append(bool(trained_on[k][i]))
        found[c] = (*best_cuts(scores, member), np.array(scores), np.array(member))
    return found


def top_one_search(scores: Any, member: Any) -> tuple[Any, list[Any]]:
    """Over cuts 0.0, 0.1, ..., 15.0: the best balanced accuracy of "member iff score > cut", and all its cuts."""
    n1, n0 = int(sum(member)), int(len(member) - sum(member))
    found = {}
    for tenth in range(151):
        cut = tenth / 10
        tp = sum(1 for s, b in zip(scores, member, strict=True) if b and s > cut)
        tn = sum(1 for s, b in zip(scores, member, strict=True) if not b and s <= cut)
        found[cut] = float((Fraction(tp, n1) + Fraction(tn, n0)) / 2)
    best = max(found.values())
    return best, [cut for cut, value in found.items() if value == best]


# ---- calibrated by shadow models ---------------------------------------------------------------------------------


def _mean(values: Any) -> Any:
    return math.fsum(values) / len(values)


def _sides(values: Any, trained_on: Any, i: Any) -> tuple[Any, Any]:
    """IN and OUT values of record i."""
    inside = [float(values[k][i]) for k in range(len(values)) if trained_on[k][i]]
    outside = [float(values[k][i]) for k in range(len(values)) if not trained_on[k][i]]
    return inside, outside


def _pooled_spread(values: Any, trained_on: Any, side: Any) -> Any:
    """sqrt(squared residuals from each record's own mean / sum of (n_i - 1))."""
    squares, freedom = [], 0
    for i in range(len(values[0])):
        own = _sides(values, trained_on, i)[side]
        if len(own) > 1:
            centre = _mean(own)
            squares += [(v - centre) ** 2 for v in own]
            freedom += len(own) - 1
    return math.sqrt(math.fsum(squares) / freedom) if freedom else math.nan


def _spread(own: Any, pooled: Any, fixed: Any) -> Any:
    if fixed or len(own) < 4:
        return pooled
    centre = _mean(own)
    return max(math.sqrt(math.fsum((v - centre) ** 2 for v in own) / (len(own) - 1)), 0.01 * pooled)


def _log_normal(x: Any, centre: Any, spread: Any) -> Any:
    return -math.log(spread) - 0.5 * ((x - centre) / spread) ** 2


def _log_below(x: Any, centre: Any, spread: Any) -> Any:
    """log Phi((x - centre) / spread), also far in the lower tail."""
    z = (x - centre) / spread
    if z < -30:
        return -0.5 * z * z - math.log(-z * math.sqrt(2 * math.pi)) + math.log1p(-1 / z**2 + 3 / z**4)
    return math.log1p(-0.5 * math.erfc(z / math.sqrt(2))) if z > 0 else math.log(0.5 * math.erfc(-z / math.sqrt(2)))


def variance_prior(values: Any, trained_on: Any, side: Any) -> tuple[Any, Any]:
    """Pooled variance and how many degrees of freedom it is worth as a prior: 2 (alpha - 1), by moments."""
    pooled = _pooled_spread(values, trained_on, side) ** 2
    records, freedom, apart = 0, 0, 0.0
    for i in range(len(values[0])):
        own = _sides(values, trained_on, i)[side]
        if len(own) > 1:
            ratio = _squares(own) / (len(own) - 1) / pooled
            records, freedom = records + 1, freedom + len(own) - 1
            apart += (len(own) - 1) * (ratio - 1) ** 2
    chance = 2 * records / freedom
    relative = (apart / freedom - chance) / (1 + chance)  # Var(sigma^2) / E(sigma^2)^2 = 1 / (alpha - 2)
    return pooled, 2 + 2 / max(relative, 2e-6)


def _squares(values: Any) -> Any:
    centre = _mean(values)
    return math.fsum((v - centre) ** 2 for v in values)


def _shrunk_spread(own: Any, prior: Any) -> Any:
    pooled, degrees = prior
    return math.sqrt((degrees * pooled + _squares(own)) / (degrees + len(own) - 1))


def lira(
    target_phi: Any, shadow_phi: Any, trained_on: Any, *, online: Any, fixed: bool = False, shrunk: bool = False
) -> NDArray[Any]:
    """``(n,)``; one query. NaN where a record lacks a side that is needed."""
    if shrunk:
        priors = [variance_prior(shadow_phi, trained_on, side) for side in ((0, 1) if online else (1,))]
    pooled_in = _pooled_spread(shadow_phi, trained_on, 0) if online else None
    pooled_out = _pooled_spread(shadow_phi, trained_on, 1)
    scores = []
    for i, x in enumerate(target_phi):
        inside, outside = _sides(shadow_phi, trained_on, i)
        if not outside or (online and not inside):
            scores.append(math.nan)
            continue
        own_out = _shrunk_spread(outside, priors[-1]) if shrunk else _spread(outside, pooled_out, fixed)
        out = (float(x), _mean(outside), own_out)
        if online:
            own_in = _shrunk_spread(inside, priors[0]) if shrunk else _spread(inside, pooled_in, fixed)
            scores.append(_log_normal(float(x), _mean(inside), own_in) - _log_normal(*out))
        else:
            scores.append(_log_below(*out))
    return np.array(scores)


def _log_mean_p(logs: Any) -> Any:
    return logsumexp(logs) - math.log(len(logs))


def rmia_log_ratios(
    target_log_p: Any, shadow_log_p: Any, trained_on: Any, *, online: Any, population: Any, a: float = 0.3
) -> NDArray[Any]:
    """log p(x | target) - log p(x); NaN without the models needed. Of population records only OUT models count."""
    ratios = []
    for i, x in enumerate(target_log_p):
        inside, outside = _sides(shadow_log_p, trained_on, i)
        if not outside or (online and not population and not inside):
            ratios.append(math.nan)
            continue
        out = _log_mean_p(outside)
        if not online:
            base = logsumexp([math.log((1 + a) / 2) + out, *([math.log((1 - a) / 2)] if a < 1 else [])])
        elif population:
            base = out
        else:
            base = logsumexp([_log_mean_p(inside), out]) - math.log(2)
        ratios.append(float(x) - base)
    return np.array(ratios)


def rmia(ratios: Any, population_ratios: Any) -> NDArray[Any]:
    """Share of population records with a ratio at most the record's."""
    world = [z for z in population_ratios if not math.isnan(z)]
    return np.array([math.nan if math.isnan(x) else sum(1 for z in world if z <= x) / len(world) for x in ratios])


def fitting_a(shadow_log_p: Any, trained_on: Any) -> Any:
    """The values of a that do best, in mean AUC, on shadow models in the target's place; pairs leave together.

    All eleven where the shadow models do not come in pairs: which are dropped is then a matter of chance.
    """
    every = [k / 10 for k in range(11)]
    varies = [i for i in range(len(trained_on[0])) if 0 < sum(row[i] for row in trained_on) < len(trained_on)]
    aucs = []  # type: ignore[var-annotated]
    for k in range(min(8, len(trained_on))):
        others = [j for j in range(len(trained_on)) if all(trained_on[j][i] + trained_on[k][i] == 1 for i in varies)]
        if not others:
            return every
        rest = [j for j in range(len(trained_on)) if j not in (k, others[0])]
        if rest:
            theirs, design = [shadow_log_p[j] for j in rest], [trained_on[j] for j in rest]
            rows = [i for i in varies if any(not row[i] for row in design)]
            member = np.array([bool(trained_on[k][i]) for i in rows])
            aucs.append([])
            for a in every:
                ratios = rmia_log_ratios(shadow_log_p[k], theirs, design, online=False, population=False, a=a)
                aucs[-1].append(auc(ratios[rows], member))
    if len(aucs) < 2:
        return [0.3]
    means = np.mean(aucs, axis=0)
    return [a for a, value in zip(every, means, strict=True) if value > means.max() - 1e-9]


def information(ratios: Any, population_ratios: Any) -> Any:
    """A record's log ratio beyond the population's mean."""
    return ratios - _mean([z for z in population_ratios if not math.isnan(z)])


def base(target_log_p: Any, shadow_log_p: Any, trained_on: Any) -> Any:
    """log p(x | target) minus log of the mean of the IN mean and the OUT mean; without IN models minus 0.3 log OUT."""
    online = any(0 < sum(row[i] for row in trained_on) < len(trained_on) for i in range(len(target_log_p)))
    if online:
        return rmia_log_ratios(target_log_p, shadow_log_p, trained_on, online=True, population=False)
    return np.array([x - 0.3 * _log_mean_p(_sides(shadow_log_p, trained_on, i)[1]) for i, x in enumerate(target_log_p)])


def attack_r(target_log_p: Any, shadow_log_p: Any, trained_on: Any) -> NDArray[Any]:
    """Share of OUT models with a larger loss."""
    scores = []
    for i, x in enumerate(target_log_p):
        outside = _sides(shadow_log_p, trained_on, i)[1]
        scores.append(sum(1 for v in outside if v < x) / len(outside) if outside else math.nan)
    return np.array(scores)


def calibration(target_log_p: Any, shadow_log_p: Any, trained_on: Any) -> NDArray[Any]:
    """log p minus the OUT models' mean of it."""
    scores = []
    for i, x in enumerate(target_log_p):
        outside = _sides(shadow_log_p, trained_on, i)[1]
        scores.append(float(x) - _mean(outside) if outside else math.nan)
    return np.array(scores)


def bavaria(target_phi: Any, shadow_phi: Any, trained_on: Any) -> Any:
    """log t_in - log t_out, each the predictive of a normal-inverse-gamma prior fitted to all records of the side."""
    densities = []  # type: ignore[var-annotated]
    for side in (0, 1):
        own = [_sides(shadow_phi, trained_on, i)[side] for i in range(len(target_phi))]
        pooled, degrees = variance_prior(shadow_phi, trained_on, side)
        means = [_mean(values) for values in own if values]
        chance = pooled * _mean([1 / len(values) for values in own if values])
        weight = pooled / max(_squares(means) / len(means) - chance, pooled)
        alpha, beta_0 = degrees / 2 + 1, degrees * pooled / 2
        densities.append([])
        for x, values in zip(target_phi, own, strict=True):
            if not values:
                densities[-1].append(math.nan)
                continue
            n, centre = len(values), _mean(values)
            alpha_n, weight_n = alpha + n / 2, weight + n
            beta_n = beta_0 + _squares(values) / 2 + weight * n * (centre - _mean(means)) ** 2 / (2 * weight_n)
            location = (weight * _mean(means) + n * centre) / weight_n
            scale = math.sqrt(beta_n * (weight_n + 1) / (alpha_n * weight_n))
            densities[-1].append(float(student.logpdf(x, 2 * alpha_n, location, scale)))
    return np.array(densities[0]) - np.array(densities[1])


def attack_p(target_log_p: Any, population_log_p: Any) -> NDArray[Any]:
    """Share of population records with a larger loss than the record's: strictly smaller log p_y."""
    return np.array([sum(1 for z in population_log_p if z < x) / len(population_log_p) for x in target_log_p])


# ---- statistics ---------------------------------------------------------------------------------------------------


def auc(scores: Any, member: Any) -> Any:
    """Pairs in order over all pairs; a tie is half a pair."""
    ins = [float(s) for s, b in zip(scores, member, strict=True) if b]
    outs = [float(s) for s, b in zip(scores, member, strict=True) if not b]
    won = sum(1.0 if x > z else 0.5 if x == z else 0.0 for x in ins for z in outs)
    return won / (len(ins) * len(outs))


def delong_width(scores: Any, member: Any, confidence: float = 0.95) -> Any:
    """Width of DeLong's normal interval."""
    ins = [float(s) for s, b in zip(scores, member, strict=True) if b]
    outs = [float(s) for s, b in zip(scores, member, strict=True) if not b]
    place = lambda x, z: 1.0 if x > z else 0.5 if x == z else 0.0  # noqa: E731
    by_in = [_mean([place(x, z) for z in outs]) for x in ins]  # type: ignore[no-untyped-call]
    by_out = [_mean([place(x, z) for x in ins]) for z in outs]  # type: ignore[no-untyped-call]
    spread = math.sqrt(np.var(by_in, ddof=1) / len(ins) + np.var(by_out, ddof=1) / len(outs))
    return 2 * NormalDist().inv_cdf((1 + confidence) / 2) * spread


def cp_lower(k: Any, n: Any, level: Any) -> Any:
    return 0.0 if k == 0 else float(betaincinv(k, n - k + 1, level))


def cp_upper(k: Any, n: Any, level: Any) -> Any:
    return 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - level))


@cache
def _radius(level: Any) -> Any:
    """c with P(Z < z1 and max(Z, 0)^2 + max(W, 0)^2 <= c^2) = 1 - level, Z and W normal, z1 the level / 2 point."""
    z = np.linspace(0, norm.isf(level / 2), 6001)
    low, high = z[-1], 12.0
    for _ in range(60):
        c = (low + high) / 2
        inside = simpson(norm.pdf(z) * norm.cdf(np.sqrt(c * c - z * z)), x=z) + norm.cdf(c) / 2
        low, high = (c, high) if inside < 1 - level else (low, c)
    return low


@cache
def _levels(j: Any, rate: Any, n0: Any, level: Any) -> tuple[Any, Any]:
    """What the upper and the lower bound at this rank are held to; None where the rank is as good as impossible."""
    c = _radius(level)
    below, beyond = binom.cdf(j - 1, n0, rate), binom.sf(j, n0, rate)
    held_to = lambda p: norm.sf(math.sqrt(c * c - max(norm.ppf(p), 0.0) ** 2))  # noqa: E731
    return tuple(held_to(p) if p < 1 - level / 2 else None for p in (below, beyond))  # type: ignore[return-value, no-untyped-call]


def _graded(above: Any, rate: Any, n1: Any, n0: Any, level: Any, ranks: Any) -> tuple[Any, Any]:
    """The farthest Clopper-Pearson bounds over ranks, each at its own level."""
    low, high = 1.0, 0.0
    for j in ranks:
        upper, lower = _levels(j, rate, n0, level)
        if upper is not None:
            high = max(high, cp_upper(above(j + 1), n1, upper))
        if lower is not None:
            low = min(low, cp_lower(above(j), n1, lower))
    return low, high


@cache
def _chances(n0: Any, rate: Any) -> list[float]:
    return [float(binom.pmf(j, n0, rate)) for j in range(n0 + 1)]


def _blended(curve: Any, centre: Any, rate: Any, n1: Any, n0: Any, level: Any) -> Any:
    """The ``level`` quantile of Beta(k, n1 - k + 1), k = curve(j), j binomial; the curve falls as far as it rises."""
    ks, weights = [], []
    for j in range(n0 + 1):
        k, apart = curve(j), centre - j
        if apart > 0:
            fall, rise = curve(centre) - k, curve(centre + apart) - curve(centre)
            chance = 1.5 * math.sqrt((fall + rise + 1) * (1 + (fall + rise) / (2 * apart)))
            k = max(0.0, curve(centre) - max(fall, rise - chance))
        ks.append(k)
        weights.append(_chances(n0, rate)[j])
    ks, weights = np.array(ks), np.array(weights)  # type: ignore[assignment]
    certain, ks, weights = weights[ks == 0].sum(), ks[ks > 0], weights[ks > 0]  # type: ignore[attr-defined, comparison-overlap, operator]
    low, high = 0.0, 1.0
    for _ in range(45):
        t = (low + high) / 2
        low, high = (t, high) if certain + weights @ betainc(ks, n1 - ks + 1, t) < level else (low, t)
    return (low + high) / 2


def _jumps(above: Any, rate: Any, n1: Any, n0: Any) -> list[Any]:
    centre, deviation = math.floor(Fraction(str(rate)) * n0), math.sqrt(n0 * rate * (1 - rate))
    reach = max(1, int(2 * deviation))
    slope = (above(centre + reach + 1) - above(centre - reach)) / (2 * reach + 1)
    share = (above(centre) + 1) / (n1 + 2)
    far = max(3 * (slope + 0.5), 0.6 * math.sqrt(n1 * share * (1 - share) + (slope * deviation) ** 2))
    window = math.ceil(5.5 * deviation) + 3
    return [j for j in range(n0 + 1) if abs(j - centre) <= window and above(j + 1) - above(j) > far]


@cache
def _surely_at_most(n0: Any, level: Any) -> list[Any]:
    """Upper bounds on the FPR at the (k+1)-th largest of n0 non-member scores, which is Beta(k + 1, n0 - k)."""
    return [float(betaincinv(k + 1, n0 - k, 1 - level)) for k in range(n0)]


def tpr_at_fpr(scores: Any, member: Any, fpr: Any, confidence: float = 0.95) -> tuple[Any, Any, Any, Any]:
    """``(value, low, high, resolvable)``: every rank of the threshold in turn."""
    rate = Fraction(str(fpr))
    ins = [float(s) for s, b in zip(scores, member, strict=True) if b]
    outs = sorted((float(s) for s, b in zip(scores, member, strict=True) if not b), reverse=True)
    n1, n0 = len(ins), len(outs)

    def above(j: Any) -> Any:
        """Members strictly above the j-th largest non-member."""
        return 0 if j <= 0 else n1 if j > n0 else sum(1 for s in ins if s > outs[j - 1])

    allowed, level = math.floor(rate * n0), (1 - confidence) / 2
    value = above(allowed + 1) / n1
    if min(allowed, n0 - allowed) < 10:
        low, high = _graded(above, fpr, n1, n0, level, range(n0 + 1))
    else:
        low = _blended(above, allowed, fpr, n1, n0, level)
        # the mirror: ranks counted from below, members that are missed
        high = 1 - _blended(lambda i: n1 - above(n0 - i + 1), n0 - allowed, 1 - fpr, n1, n0, level)
        if far := _jumps(above, fpr, n1, n0):
            ends = _graded(above, fpr, n1, n0, level, far)
            low, high = min(low, ends[0]), max(high, ends[1])
    strict = any(end <= fpr for end in _surely_at_most(n0, level / 2))
    resolvable = "no" if not strict else "weak" if rate * n0 < 10 else "yes"
    return value, min(low, value) if strict else 0.0, max(high, value), resolvable
