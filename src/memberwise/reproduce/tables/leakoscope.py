"""Each record's risk as the study of medical AI has it (Knolle et al., Nature 2026), and as we do by the same models.

Their score of a record (``record_MIA_ROC_analysis`` of their code) is the AUC of two normal distributions fitted to the
scaled logits of the models with and without it, ``Phi((m_in - m_out) / sqrt(s_in^2 + s_out^2))`` with spreads of ddof
0, never below 0.5; a patient's is the largest of their records, and the distribution over patients is that of these
estimates. Their standard error is Hanley and McNeil's (1982), of independent models.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from memberwise.assess.people import ShareAbove
from memberwise.assess.sides import complete_pairs
from memberwise.assess.turns import clusters_of
from memberwise.attacks.in_out import mean_phi, shadows_of
from memberwise.auditing.load import signals_of_run
from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench, share
from memberwise.reproduce.claim import Findings, Ours, Plot, Row, Series
from memberwise.reproduce.reproduction import Reproduction
from memberwise.statistics import Estimate
from memberwise.statistics.personal import cross_pair_auc
from memberwise.types.arrays import Floats

SETS = {"adult": "Adult", "location30": "Location-30"}
LEVELS = (0.6, 0.7, 0.8, 0.9)
# Their clip, so that no AUC is exactly 1.
BELOW_ONE = 1e-10
GRID = np.linspace(0.5, 1.0, 51)
THEIRS, OURS, NOBODY = "their score", "ours", "their score where nothing leaks"


def records(bench: Bench) -> Findings:
    """Shares of records above each level by their score and by ours; theirs where there is nothing to find, too."""
    rows: list[Row] = []
    plots: list[Plot] = []
    notes: list[str] = []
    for source in bench.data:
        lines, plot, note = _of(bench, source)
        rows += lines
        plots.append(plot)
        notes += note
    return Findings(tuple(rows), tuple(plots), tuple(notes))


def _of(bench: Bench, source: str) -> tuple[list[Row], Plot, list[str]]:
    name = SETS.get(source, source)
    result = bench.audit(source, _study(bench, source))
    people, recipe = result.parts.people, result.parts.recipe
    if people is None or recipe is None:
        raise ValueError("eight pairs of shadow models tell personal risks")
    inside, outside = sides(result)
    side = len(inside)
    theirs = binormal_auc(inside, outside)
    halves = outside[: side // 2], outside[side // 2 : 2 * (side // 2)]
    nobody = binormal_auc(*halves)
    setting = f"{name}, {side} models a side"
    rows = [_estimate(bench, setting, "AUC over all records and models in turn", recipe.auc)]
    for level, one in zip(LEVELS, people.share_above, strict=True):
        for scores, whose in ((theirs, THEIRS), (nobody, NOBODY)):
            counted = share(float((scores > level).mean()), len(scores), (bench.seed,))
            rows.append(bench.row(setting, f"records above {level}, {whose}", counted))
        rows.append(_estimate(bench, setting, f"records above {level}, {OURS}", one))
    first, last = (slice(None, side // 2), slice(side // 2, 2 * (side // 2)))
    apart = binormal_auc(inside[first], outside[first]) - binormal_auc(inside[last], outside[last])
    stated = standard_error(binormal_auc(inside[first], outside[first]), side // 2)
    middling = (theirs > 0.55) & (theirs < 0.9)  # elsewhere the clip at 0.5 and the end at 1 hide the spread
    factor = float(np.mean(apart[middling] ** 2) / np.mean(2 * stated[middling] ** 2)) if middling.any() else None
    notes = _notes(setting, theirs, nobody, people.share_above[-1], people.share_above[0], factor, people.correlation)
    return rows, _plot(source, setting, theirs, nobody, cross_pair_auc(inside, outside), people.share_above), notes


def _estimate(bench: Bench, setting: str, measure: str, one: Estimate) -> Row:
    ours = Ours(one.value, one.low, one.high, one.n_members, one.method, (bench.seed,))
    return bench.row(setting, measure, ours)


def sides(run: Result) -> tuple[Floats, Floats]:
    """IN and OUT scaled logits ``(p, n)`` of the complementary pairs of an audit's shadow models."""
    signals = signals_of_run(run)[0]
    phi = mean_phi(shadows_of(signals.shadows))
    first, second = complete_pairs(clusters_of(signals.trained_on)).T
    of_first = signals.trained_on[first] == 1
    return np.where(of_first, phi[first], phi[second]), np.where(of_first, phi[second], phi[first])


def binormal_auc(inside: Floats, outside: Floats) -> Floats:
    """``(n,)`` their score of each record: AUC of two normal distributions, from 0.5 to as good as 1.

    Args:
        inside, outside: ``(k, n)`` scaled logits of models with and without the record, HIGHER = MORE LIKELY A MEMBER.
    """
    spread = np.sqrt(inside.var(0) + outside.var(0)) + BELOW_ONE
    return np.asarray(np.clip(special.ndtr((inside.mean(0) - outside.mean(0)) / spread), 0.5, 1 - BELOW_ONE))


def standard_error(aucs: Floats, models: int) -> Floats:
    """``(n,)`` Hanley and McNeil's (1982) of AUCs ``(n,)``, as from so many independent models a side."""
    q_in, q_out = aucs / (2 - aucs), 2 * aucs**2 / (1 + aucs)
    variance = aucs * (1 - aucs) + (models - 1) * (q_in + q_out - 2 * aucs**2)
    return np.asarray(np.sqrt(variance / models**2))


def _study(bench: Bench, source: str) -> dict[str, object]:
    members = bench.pick(100, {"adult": 1000}.get(source, 600), {"adult": 5000}.get(source, 1200))
    return {
        "data.source": source,
        "data.members": members,
        "data.nonmembers": members,
        "model.name": "mlp",
        "model.hidden": [200],
        "training.epochs": bench.pick(3, 30, 60),
        "shadow.count": bench.pick(16, 64, 400),
        "statistics.turns": "all" if bench.size != "full" else 64,
        "attacks.use": ["lira-online-shrunk"],
    }


def _notes(
    setting: str,
    theirs: Floats,
    nobody: Floats,
    most: ShareAbove,
    least: ShareAbove,
    factor: float | None,
    correlation: float,
) -> list[str]:
    """What differs, and why."""
    notes = [
        f"{setting}: above {most.auc:g} are {(theirs > most.auc).mean():.1%} of the records by their score, by ours "
        f"{most.value:.1%} [{most.low:.1%}, {most.high:.1%}]; above {least.auc:g} {(theirs > least.auc).mean():.1%} "
        f"and {least.value:.1%} [{least.low:.1%}, {least.high:.1%}]. Theirs counts estimates, which chance spreads and "
        f"which end at 0.5: between two halves of models none of which saw the record, where the truth is 0.5, it "
        f"still has {(nobody > least.auc).mean():.1%} of the records above {least.auc:g}",
    ]
    if factor is not None:
        notes.append(
            f"{setting}: their scores from the first and from the last half of the pairs differ by {factor:.2f} times "
            f"the variance that Hanley and McNeil's formula states: it takes the models as independent, and the two of "
            f"a complementary pair correlate at {correlation:.2f} record by record (the study's models are drawn "
            f"without complements)"
        )
    return notes


def _plot(
    source: str, setting: str, theirs: Floats, nobody: Floats, aucs: Floats, ours: tuple[ShareAbove, ...]
) -> Plot:
    """The survival function of the scores, as they draw it, and our shares with their intervals."""
    curves = {THEIRS: theirs, NOBODY: nobody, "our estimates, counted": aucs}
    series = [
        Series(label, tuple(GRID.tolist()), tuple(float((scores > at).mean()) for at in GRID))
        for label, scores in curves.items()
    ]
    low, value, high = (tuple(float(getattr(one, end) or 0.0) for one in ours) for end in ("low", "value", "high"))
    series.append(Series(OURS, tuple(one.auc for one in ours), value, low, high))
    return Plot(source, setting, "AUC of a record", "share of records above", tuple(series))


REPRODUCTIONS = (
    Reproduction(
        "leakoscope-like",
        "Knolle et al. 2026, Disparate privacy risks from medical AI, Nature; code moritzknolle/leakoscope",
        "each record's risk by their score and by ours, on our data",
        (("adult",), ("location30",)),
        (0.5, 6, 120),
        records,
    ),
)
