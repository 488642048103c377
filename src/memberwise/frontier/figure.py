"""The frontier as inline SVG: accuracy against what the attacks achieve, every point with both intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memberwise.frontier.schema import FrontierResult, Measure, MeasuredPoint, Strongest, StrongestRate
from memberwise.report.figures import DASHES, INK, MUTED, SERIES, drawing, to_svg
from memberwise.report.formats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vPX"
MOST = len(SERIES) * len(MARKERS)


def frontier(facts: FrontierResult, against: Measure) -> str:
    """Test accuracy (up is useful) against what the strongest attack achieves, TPR or AUC (left is private).

    A defence is a colour and a marker, its points joined from weak to strong. The vertical line stands for the
    undefended model's gap attack (AUC) or for guessing (TPR); the recommended point is ringed; open markers are rates
    that are weak, or that ties decide. DP-SGD, the reference, is drawn in the text's colour, like the undefended
    model's star.
    """
    rows = facts.points
    names = list(dict.fromkeys(row.defence for row in rows))
    with drawing(f"frontier-{against}", 7.2, 5.2) as figure:
        axes = figure.add_subplot()
        for place, name in enumerate(names):
            family = [row for row in rows if row.defence == name and row.test_accuracy]
            if family:
                _draw(axes, family, against, name, place)
        if against == "tpr" and any(row.rate != "yes" for row in rows):
            axes.plot([], [], linestyle="none", marker="o", fillstyle="none", color=MUTED, label="open: weak or tied")
        _reference_line(axes, facts, rows, against)
        best = facts.recommended
        if best is not None and (accuracy := rows[best].test_accuracy):
            axes.plot(
                strongest(rows[best], against).value,
                accuracy.value,
                marker="o",
                markersize=14,
                fillstyle="none",
                color=INK,
                linestyle="none",
                label="recommended",
            )
        what = f"TPR at {100 * facts.fpr:g}% FPR" if against == "tpr" else "AUC"
        axes.set_xlabel(f"{what} of the strongest attack on each point (left: more private)")
        axes.set_ylabel("test accuracy (up: more useful)")
        axes.grid(True)
        figure.legend(loc="outside lower center", ncols=4, handlelength=2.6, columnspacing=1.6)
        return to_svg(figure, f"frontier-{against}", f"Test accuracy against {what} for {', '.join(names)}")


def _draw(axes: Axes, family: Sequence[MeasuredPoint], against: Measure, name: str, place: int) -> None:
    """The points of one defence, joined, with both intervals."""
    colour, marker = SERIES[place % len(SERIES)], MARKERS[place // len(SERIES) % len(MARKERS)]
    if name == "undefended":
        colour, marker = INK, "*"
    elif name == "dp-sgd":  # the one with a guarantee, which the others are compared with
        colour, marker = INK, "h"
    across = [strongest(row, against) for row in family]
    up = [row.test_accuracy for row in family if row.test_accuracy]
    size = 9 if marker == "*" else 5
    axes.errorbar(
        [part.value for part in across],
        [part.value for part in up],
        xerr=_spread(across),
        yerr=_spread(up),
        color=colour,
        elinewidth=0.5,
        alpha=0.9,
        marker=marker,
        markersize=size,
        fillstyle="none",
        linewidth=1.0,
        linestyle=DASHES[place % len(DASHES)],
        label=name.rpartition("/")[2],
    )
    sure = [row for row in family if against != "tpr" or row.rate == "yes"]
    axes.plot(
        [strongest(row, against).value for row in sure],
        [row.test_accuracy.value for row in sure if row.test_accuracy],
        color=colour,
        linestyle="none",
        marker=marker,
        markersize=size,
    )


def strongest(row: MeasuredPoint, against: Measure) -> Strongest | StrongestRate:
    """The strongest attack's figure."""
    return row.tpr if against == "tpr" else row.auc


def _reference_line(axes: Axes, facts: FrontierResult, rows: Sequence[MeasuredPoint], against: Measure) -> None:
    """What an attacker gets without any scores: the gap attack's AUC (which is its accuracy), or guessing."""
    gap = rows[0].gap
    if against == "tpr":
        axes.axvline(facts.fpr, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)), label="guessing")
    elif gap is not None:
        axes.axvline(gap.value, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)), label="gap, undefended")


def _spread(parts: Sequence[Interval]) -> list[list[float]]:
    """Distances to the lower and the upper ends of the intervals; 0 where there is none."""

    def distance(part: Interval, end: float | None) -> float:
        return 0.0 if end is None or part.value is None else abs(end - part.value)

    return [[distance(part, part.low) for part in parts], [distance(part, part.high) for part in parts]]
