"""The frontier as inline SVG: accuracy against what the attacks achieve, every point with both intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from memberwise.report.figures import DASHES, INK, MUTED, SERIES, drawing, to_svg

Row = Mapping[str, Any]
MARKERS = "osD^vPX"
MOST = len(SERIES) * len(MARKERS)


def frontier(facts: Mapping[str, Any], against: Literal["tpr", "auc"]) -> str:
    """Test accuracy (up is useful) against what the strongest attack achieves, TPR or AUC (left is private).

    A defence is a colour and a marker, its points joined from weak to strong. The vertical line stands for the
    undefended model's gap attack (AUC) or for guessing (TPR); the recommended point is ringed; open markers are rates
    that are weak, or that ties decide. DP-SGD, the reference, is drawn in the text's colour, like the undefended
    model's star.
    """
    rows: Sequence[Row] = facts["points"]
    names = list(dict.fromkeys(row["defence"] for row in rows))
    with drawing(f"frontier-{against}", 7.2, 5.2) as figure:
        axes = figure.add_subplot()
        for place, name in enumerate(names):
            own = [row for row in rows if row["defence"] == name and _shown(row, against)]
            if own:
                _draw(axes, own, against, name, place)
        if against == "tpr" and any(row["rate"] != "yes" for row in rows):
            axes.plot([], [], linestyle="none", marker="o", fillstyle="none", color=MUTED, label="open: weak or tied")
        _reference_line(axes, facts, rows, against)
        best = facts["recommended"]
        if best is not None and _shown(rows[best], against):
            axes.plot(
                rows[best][against]["value"],
                rows[best]["test_accuracy"]["value"],
                marker="o",
                markersize=14,
                fillstyle="none",
                color=INK,
                linestyle="none",
                label="recommended",
            )
        what = f"TPR at {100 * facts['fpr']:g}% FPR" if against == "tpr" else "AUC"
        axes.set_xlabel(f"{what} of the strongest attack on each point (left: more private)")
        axes.set_ylabel("test accuracy (up: more useful)")
        axes.grid(True)
        figure.legend(loc="outside lower center", ncols=4, handlelength=2.6, columnspacing=1.6)
        return to_svg(figure, f"frontier-{against}", f"Test accuracy against {what} for {', '.join(names)}")


def _draw(axes: Any, own: Sequence[Row], against: str, name: str, place: int) -> None:
    """The points of one defence, joined, with both intervals."""
    colour, marker = SERIES[place % len(SERIES)], MARKERS[place // len(SERIES) % len(MARKERS)]
    if name == "undefended":
        colour, marker = INK, "*"
    elif name == "dp-sgd":  # the one with a guarantee, which the others are compared with
        colour, marker = INK, "h"
    size = 9 if marker == "*" else 5
    axes.errorbar(
        [row[against]["value"] for row in own],
        [row["test_accuracy"]["value"] for row in own],
        xerr=_spread(own, against),
        yerr=_spread(own, "test_accuracy"),
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
    sure = [row for row in own if against != "tpr" or row["rate"] == "yes"]
    axes.plot(
        [row[against]["value"] for row in sure],
        [row["test_accuracy"]["value"] for row in sure],
        color=colour,
        linestyle="none",
        marker=marker,
        markersize=size,
    )


def _shown(row: Row, against: str) -> bool:
    """There is a figure."""
    return bool(row[against] and row["test_accuracy"])


def _reference_line(axes: Any, facts: Mapping[str, Any], rows: Sequence[Row], against: str) -> None:
    """What an attacker gets without any scores: the gap attack's AUC (which is its accuracy), or guessing."""
    gap = (rows[0]["gap"] or {}).get("value")
    if against == "tpr":
        axes.axvline(facts["fpr"], color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)), label="guessing")
    elif gap is not None:
        axes.axvline(gap, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)), label="gap, undefended")


def _spread(rows: Sequence[Row], key: str) -> list[list[float]]:
    """Distances to the lower and the upper ends of the intervals; 0 where there is none."""

    def distance(part: Row, end: str) -> float:
        return abs(part[end] - part["value"]) if part[end] is not None else 0.0

    return [[distance(row[key], end) for row in rows] for end in ("low", "high")]
