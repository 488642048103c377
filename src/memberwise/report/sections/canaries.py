"""The worst case: canaries, in words and drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from memberwise.assess.canaries import CanariesPart
from memberwise.report import sentence
from memberwise.report.figures import MEMBER, MUTED, drawable, drawing, log_axes, to_svg
from memberwise.report.formats import count, rate, spoken
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Curves, Section, Source, markup
from memberwise.statistics import TprAtFpr

KINDS = {
    "mislabelled": "with a wrong label",
    "out-of-distribution": "from outside the data",
    "near-duplicate": "with a wrong label and a near copy that every model trained on",
}


class Canaries(Section):
    """Over all pairs of a canary and a model."""

    id, link = "canaries", "Canaries"

    def context(self, source: Source) -> Mapping[str, object] | None:
        text = canaries_sentence(source.result)
        return None if text is None else {"said": text, "plot": markup(plot(source.curves))}

    def lines(self, result: AuditResult) -> list[str]:
        return [text] if (text := canaries_sentence(result)) else []


def canaries_sentence(result: AuditResult) -> str | None:
    """How well the worst records are found."""
    part = result.canaries
    if part is None:
        return None
    words, kind = sentence.interval_words(result), KINDS.get(part.kind, part.kind)
    row = worst_rate(part)
    return (
        f"{count(part.count)} canaries {kind} under {count(part.models)} models in turn, by {part.attack}: "
        f"{spoken(row, 'share', words)} recognised at {rate(row.fpr)} FPR{_marked(row)}, "
        f"{spoken(part.tpr_at_zero, 'share', words)} without any wrong accusation."
    )


def worst_rate(part: CanariesPart) -> TprAtFpr:
    """The row at the smallest false-positive rate: the one by which canary audits are known."""
    return min(part.tpr_at_fpr, key=lambda row: row.fpr)


def _marked(row: TprAtFpr) -> str:
    marks = {"weak": " (few pairs to judge this by)", "no": " (too few pairs to judge this by)"}
    return marks.get(row.resolvable, "")


def plot(curves: Curves) -> str | None:
    """Above the ROC over all (canary, model) pairs, below how often each canary is found, the most exposed first."""
    if "canaries.fpr" not in curves:
        return None
    fpr, tpr = curves["canaries.fpr"], curves["canaries.tpr"]
    low = max(float(fpr[fpr > 0].min(initial=1.0)), 1e-6)
    share = np.sort(curves["canaries.found"])[::-1]
    with drawing("canaries", 4.6, 6.0) as figure:
        left, right = figure.subplots(2, 1)
        left.plot([low, 1], [low, 1], color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
        left.plot(*drawable(fpr, tpr, low), color=MEMBER, linewidth=2)
        log_axes(left, low)
        left.set(xlabel="wrongly called members (FPR)", ylabel="canaries recognised (TPR)")
        right.stairs(100 * share, 100 * np.arange(len(share) + 1) / len(share), color=MEMBER, fill=True, alpha=0.3)
        right.stairs(100 * share, 100 * np.arange(len(share) + 1) / len(share), color=MEMBER, linewidth=1.6)
        right.set(xlim=(0, 100), ylim=(0, 104), xlabel="canaries, the most exposed first (%)")
        right.set_ylabel("found in so many of its models (%)")
        right.tick_params(length=3)
        right.grid(visible=True, axis="y")
        right.set_axisbelow(True)
        label = f"Over all pairs of {len(share)} canaries and models: ROC, and how often each canary is found"
        return to_svg(figure, "canaries", label)
