"""The frontier as inline SVG: accuracy against what the attacks achieve, every point with both intervals."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from memberwise.frontier.schema import FrontierResult, Measure, MeasuredPoint, Strongest, StrongestRate
from memberwise.report.figures import DASHES, INK, MUTED, SERIES, add_legend, drawing, to_svg
from memberwise.report.formats import Interval, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

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
    with drawing(f"frontier-{against}", 4.6, 5.4) as figure:
        axes = figure.add_subplot()
        for place, name in enumerate(names):
            family = [row for row in rows if row.defence == name and row.test_accuracy]
            if family:
                _draw(axes, family, against, name, place)
        if against == "tpr" and any(row.rate != "yes" for row in rows):
            axes.plot([], [], linestyle="none", marker="o", fillstyle="none", color=MUTED, label="open: not relied on")
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
        axes.set_xlabel(f"{what}, strongest attack (left: more private)")
        axes.set_ylabel("test accuracy (up: more useful)")
        in_percent(axes.yaxis)
        if against == "tpr":
            in_percent(axes.xaxis)
        axes.grid(True)
        add_legend(figure, 2, loc="outside lower center", handlelength=2.2, columnspacing=1.2)
        drawn = to_svg(figure, f"frontier-{against}", f"Test accuracy against {what} for {', '.join(names)}")
        # A picture to screen readers would hide the links to its points.
        drawn = drawn.replace('role="img"', 'role="group"', 1)
        return drawn.removesuffix("</svg>") + _links(axes, rows, against, what) + "</svg>"


def _links(axes: Axes, rows: Sequence[MeasuredPoint], against: Measure, what: str) -> str:
    """Over every point a link to its row, which says the point's figures when hovered over or focused."""
    tall = axes.figure.bbox.height
    scale = 72 / axes.figure.dpi
    links = []
    for place, row in enumerate(rows):
        if row.test_accuracy is None:
            continue
        x, y = axes.transData.transform((strongest(row, against).value, row.test_accuracy.value))
        said = escape(
            f"{row.label}: {what} {spoken(strongest(row, against), 'number' if against == 'auc' else 'share')}"
            f", by {strongest(row, against).name}; test accuracy {spoken(row.test_accuracy)}"
        )
        links.append(
            f'<a class="point" href="#point-{place}" aria-label="{said}"><title>{said}</title>'
            f'<circle cx="{x * scale:.1f}" cy="{(tall - y) * scale:.1f}" r="8"/></a>'
        )
    return "".join(links)


def in_percent(axis: Axis) -> None:
    """Ticks of a share in per cent, as the table beside the plot has it."""

    def text(value: float, _: object) -> str:
        decimals = max(len(f"{100 * tick:.4g}".partition(".")[2]) for tick in axis.get_majorticklocs())
        return f"{100 * value:.{decimals}f}%".replace("-", "\N{MINUS SIGN}")

    axis.set_major_formatter(text)


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
