"""The same training again: several models in the target's place, in words and drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from memberwise.assess.variation import TargetsPart
from memberwise.report import sentence
from memberwise.report.figures import INK, MEMBER, MUTED, OTHER, add_legend, drawing, to_svg
from memberwise.report.formats import count, percent, rate, spoken
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Section, Source, markup


class Targets(Section):
    """How figures differ from one training to the next, and who is exposed whatever model is trained."""

    id, link = "targets", "Other trainings"

    def context(self, source: Source) -> Mapping[str, object] | None:
        result = source.result
        text = targets_sentence(result)
        if text is None:
            return None
        return {"said": text, "stability": stability_sentence(result), "plot": markup(plot(result.targets))}

    def lines(self, result: AuditResult) -> list[str]:
        return [text for text in (targets_sentence(result), stability_sentence(result)) if text]


def targets_sentence(result: AuditResult) -> str | None:
    """How the figures differ from one training to the next."""
    part = result.targets
    if part is None:
        return None
    words, at = sentence.interval_words(result), part.stability.fpr
    row = next(row for row in part.tpr_at_fpr if row.fpr == at)
    return (
        f"{count(part.count)} models in the target's place, by {part.attack}: mean TPR at {rate(at)} FPR "
        f"{spoken(row.mean, 'share', words)}, standard deviation {percent(row.std)}; mean AUC "
        f"{spoken(part.auc.mean, 'number', words)}."
    )


def stability_sentence(result: AuditResult) -> str | None:
    """Who is exposed whatever model is trained."""
    stable = None if result.targets is None else result.targets.stability
    if stable is None or stable.always is None:
        return None
    return (
        f"Of {count(stable.records)} records which two of these models or more trained on, "
        f"{spoken(stable.always, 'share', sentence.interval_words(result))} are recognised at "
        f"{rate(stable.fpr)} FPR in every model that trained on them ({percent(stable.by_chance)} would be, if "
        f"each model exposed others), {percent(stable.sometimes)} in some and {percent(stable.never)} in none."
    )


def plot(part: TargetsPart | None) -> str | None:
    """Each model's TPR at the rate at which records are called exposed; the mean with its interval."""
    if part is None:
        return None
    at = part.stability.fpr
    row = next(row for row in part.tpr_at_fpr if row.fpr == at)
    values, mean = 100 * np.array(row.values), row.mean
    with drawing("targets", 4.6, 2.6) as figure:
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
        add_legend(figure, 2, loc="outside upper left", handlelength=1.4, columnspacing=1.2)
        return to_svg(figure, "targets", f"TPR at {rate(at)} FPR of {len(values)} models in the target's place")
