"""The plots of a claim, as SVG files of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memberwise.report.figures import DASHES, MUTED, SERIES, add_legend, drawing, to_svg
from memberwise.reproduce.claim import Plot, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 6.0, 4.2
MARKERS = "osD^vPX"  # one more than there are colours, so that the seventh series is not the first


def draw(plot: Plot) -> str:
    """An SVG file: what was published is drawn with open markers, ours with filled ones and intervals."""
    with drawing(plot.name, WIDTH, HEIGHT) as figure:
        axes = figure.add_subplot()
        for place, series in enumerate(plot.series):
            if plot.kind == "steps":
                axes.stairs(series.y, series.x, fill=True, alpha=0.45, color=SERIES[place], label=series.label)
            else:
                _line(axes, plot, series, place)
        if plot.log_x:
            axes.set_xscale("log")
            axes.set_xticks(sorted({x for series in plot.series for x in series.x}))
            axes.xaxis.set_major_formatter(lambda x, place: f"{x:,g}")
            axes.xaxis.set_minor_formatter(lambda x, place: "")
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        axes.grid(True)
        figure.suptitle(plot.title, fontsize=10)
        add_legend(figure, 3, loc="outside lower center", handlelength=2.6, columnspacing=1.6)
        svg = to_svg(figure, plot.name, plot.title)
    paper = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" style="background:#fff"'
    return svg.replace("<svg ", f"<svg {paper} ", 1) + "\n"


def _line(axes: Axes, plot: Plot, series: Series, place: int) -> None:
    """One series: intervals where it has some."""
    spread = None
    if series.low and series.high:
        spread = [
            [y - low for y, low in zip(series.y, series.low, strict=True)],
            [high - y for y, high in zip(series.y, series.high, strict=True)],
        ]
    axes.errorbar(
        series.x,
        series.y,
        yerr=spread,
        color=MUTED if series.published else SERIES[place % len(SERIES)],
        elinewidth=0.6,
        marker=MARKERS[place % len(MARKERS)],
        markersize=4.5,
        fillstyle="none" if series.published else "full",
        linewidth=0 if plot.kind == "points" else 1.3,
        linestyle="none" if plot.kind == "points" else DASHES[place % len(DASHES)],
        label=series.label,
    )
