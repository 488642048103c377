"""The figures of canaries and of several targets, in the style of the others."""

from __future__ import annotations

import numpy as np

from memberwise.assess.variation import TargetsPart
from memberwise.report.figures import INK, MEMBER, MUTED, OTHER, Curves, drawable, drawing, log_axes, to_svg
from memberwise.report.formats import rate


def canaries(curves: Curves) -> str | None:
    """Left the ROC over all (canary, model) pairs, right how often each canary is found, the most exposed first."""
    if "canaries.fpr" not in curves:
        return None
    fpr, tpr = curves["canaries.fpr"], curves["canaries.tpr"]
    low = max(float(fpr[fpr > 0].min(initial=1.0)), 1e-6)
    share = np.sort(curves["canaries.found"])[::-1]
    with drawing("canaries", 6.4, 3.0) as figure:
        left, right = figure.subplots(1, 2)
        left.plot([low, 1], [low, 1], color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
        left.plot(*drawable(fpr, tpr, low), color=MEMBER, linewidth=2)
        log_axes(left, low)
        left.set(xlabel="others wrongly called members", ylabel="canaries recognised")
        right.stairs(100 * share, 100 * np.arange(len(share) + 1) / len(share), color=MEMBER, fill=True, alpha=0.3)
        right.stairs(100 * share, 100 * np.arange(len(share) + 1) / len(share), color=MEMBER, linewidth=1.6)
        right.set(xlim=(0, 100), ylim=(0, 104), xlabel="canaries, the most exposed first (%)")
        right.set_ylabel("found in so many of its models (%)")
        right.tick_params(length=3)
        right.grid(visible=True, axis="y")
        right.set_axisbelow(True)
        label = f"Over all pairs of {len(share)} canaries and models: ROC, and how often each canary is found"
        return to_svg(figure, "canaries", label)


def targets(part: TargetsPart | None) -> str | None:
    """Each model's TPR at the rate at which records are called exposed; the mean with its interval."""
    if part is None:
        return None
    at = part.stability.fpr
    row = next(row for row in part.tpr_at_fpr if row.fpr == at)
    values, mean = 100 * np.array(row.values), row.mean
    with drawing("targets", 5.6, 2.4) as figure:
        axes = figure.add_subplot()
        if mean.low is not None and mean.high is not None:
            axes.axhspan(100 * mean.low, 100 * mean.high, color=MEMBER, alpha=0.14, linewidth=0)
        axes.axhline(100 * mean.value, color=MEMBER, linewidth=1.2, label="mean")
        axes.axhline(100 * at, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)), label="guessing")
        number = np.arange(1, len(values))
        axes.plot(number, values[1:], "o", markersize=5, color=OTHER, label="shadow models")
        axes.plot(0, values[0], "D", markersize=6, color=INK, label="target")
        axes.set(xlim=(-0.6, len(values) - 0.4), ylim=(0, None), ylabel=f"TPR at {rate(at)} FPR (%)")
        axes.set_xticks([])
        axes.tick_params(length=3)
        axes.grid(visible=True, axis="y")
        axes.set_axisbelow(True)
        figure.legend(loc="outside upper left", ncols=4, handlelength=1.4, columnspacing=1.2)
        return to_svg(figure, "targets", f"TPR at {rate(at)} FPR of {len(values)} models in the target's place")
