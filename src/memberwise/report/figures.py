"""The figures of the report as inline SVG: the same input gives the same bytes.

Colours are CSS variables, so that a figure follows the page into dark mode and onto paper.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from memberwise.types.arrays import Array, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

Curves = Mapping[str, Array]

# Matplotlib wants real colours: each stands for the CSS variable that takes its place, with its value on a white page.
PAINT = {
    "#010101": "var(--ink, #1b1f24)",
    "#020202": "var(--muted, #5c6670)",
    "#030303": "var(--rule, #d5dae0)",
    "#040404": "var(--c1, #0b57a4)",
    "#050505": "var(--c2, #b4480f)",
    "#060606": "var(--c3, #00755a)",
    "#070707": "var(--c4, #87479c)",
    "#080808": "var(--c5, #7d6400)",
    "#090909": "var(--c6, #4d5a66)",
}
INK, MUTED, RULE, *SERIES = PAINT
MEMBER, OTHER = SERIES[0], SERIES[1]
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.6)), (0, (7, 2, 1.5, 2)), (0, (4, 1.5, 1.5, 1.5, 1.5, 1.5)))
# Of the width a legend takes so much at most: browsers' letters are a little wider than those it is measured by.
FITS = 0.96
MAIN = (
    "cascade", "gap", "loss", "lira-online-fixed", "rmia-online", "shokri", "lira-offline-fixed", "rmia-offline",
    "attack-p",
)  # fmt: skip
STYLE: dict[Any, bool | float | str] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "path.simplify": True,
}


@contextmanager
def drawing(name: str, width: float, height: float) -> Iterator[Figure]:
    """A figure of ``width`` by ``height`` inches in the house style; pyplot is never imported."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        yield Figure(figsize=(width, height), layout="constrained")


def add_legend(figure: Figure, most: int, **where: Any) -> None:
    """A legend in as many columns as fit the figure's width, ``most`` at most; what does not fit one is shortened."""
    room = FITS * figure.bbox.width
    for columns in range(most, 0, -1):
        legend = figure.legend(ncols=columns, **where)
        width = legend.get_window_extent().width
        if width <= room:
            return
        if columns > 1:
            legend.remove()
    texts = legend.get_texts()
    beside = width - max(text.get_window_extent().width for text in texts)
    for text in texts:
        _shorten(text, room - beside)


def _shorten(text: Text, room: float) -> None:
    """Leaves out the middle of a text that is wider than the room, in pixels: names tell apart at both ends."""
    whole = text.get_text()
    kept = len(whole)
    while text.get_window_extent().width > room and kept > 2:
        kept -= 1
        text.set_text(f"{whole[: -(-kept // 2)]}\N{HORIZONTAL ELLIPSIS}{whole[len(whole) - kept // 2 :]}")


def to_svg(figure: Figure, name: str, label: str) -> str:
    """Inline SVG without a size of its own, with ids that begin with ``name``, and ``label`` for screen readers."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer, parts = io.StringIO(), [figure.patch, *(axes.patch for axes in figure.axes)]
    for part in parts:
        part.set(facecolor="none", edgecolor="none")
    # As ``savefig`` does, to the byte, which draws all twice: once to lay it out, which drawing does anyway.
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    box = re.search(r'viewBox="([^"]+)"', text)
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<!--.*?-->|<defs>\s*<style.*?</defs>", "", body, flags=re.S)
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # only what is referred to needs an id
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", body).replace("xlink:href", "href")
    body = re.sub(r"font: ([^;\"]*?)px [^;\"]*", r"font: \1px var(--sans, sans-serif)", body)
    body = re.sub("|".join(PAINT), lambda match: PAINT[match[0]], body)
    body = re.sub(r"\s*\n\s*", "\n", body)
    return f'<svg viewBox="{box[1] if box else ""}" role="img" aria-label="{escape(label)}">{body.strip()}'


def main_attacks(headline: str, names: Sequence[str], most: int = 6) -> list[str]:
    """The attacks worth drawing together: the headline, then the best known, then whatever else there is."""
    candidates = [headline, *MAIN, *names]
    return list(dict.fromkeys(name for name in candidates if name in names))[:most]


def roc(curves: Curves, headline: str, names: Sequence[str], n_nonmembers: int) -> str | None:
    """Log-log ROC of the main attacks with the headline's band; the gap attack, one decision, is a point."""
    drawn = main_attacks(headline, [name for name in names if f"{name}.fpr" in curves])
    if not drawn:
        return None
    low = 1 / max(n_nonmembers, 10)
    with drawing("roc", 4.6, 4.6) as figure:
        axes = figure.add_subplot()
        axes.plot([low, 1], [low, 1], color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)), label="guessing")
        if f"{headline}.band_fpr" in curves:
            band = [curves[f"{headline}.band_{part}"] for part in ("fpr", "low", "high")]
            axes.fill_between(
                band[0], np.maximum(band[1], low), np.maximum(band[2], low), color=MEMBER, alpha=0.16, linewidth=0
            )
        lines = [name for name in drawn if name != "gap"]
        for place, name in enumerate(lines):
            axes.plot(
                *drawable(curves[f"{name}.fpr"], curves[f"{name}.tpr"], low),
                color=SERIES[place],
                linestyle=DASHES[place % len(DASHES)],
                linewidth=2.2 if name == headline else 1.4,
                zorder=4 if name == headline else 3,
                label=name,
            )
        point = _gap_point(curves) if "gap" in drawn else None
        if point is not None:
            axes.plot(*point, marker="D", markersize=6, color=SERIES[5], linestyle="none", zorder=5, label="gap")
        log_axes(axes, low)
        add_legend(figure, 2, loc="outside upper left", handlelength=2.4, columnspacing=1.6)
        return to_svg(figure, "roc", f"ROC curves on logarithmic axes: {', '.join(drawn)}, and the line of guessing")


def drawable(fpr: Floats, tpr: Floats, low: float) -> tuple[Floats, Floats]:
    """The part of a curve that logarithmic axes can show: from the last point at or left of ``low`` on.

    Curves are ``(k,)`` false- and true-positive rates.
    """
    first = max(0, int(np.searchsorted(fpr, low, side="right")) - 1)
    fpr, tpr = fpr[first:], tpr[first:]
    return np.maximum(fpr[tpr > 0], low), np.maximum(tpr[tpr > 0], low)


def _gap_point(curves: Curves) -> tuple[float, float] | None:
    """The one ROC point of the gap attack between the corners (0, 0) and (1, 1)."""
    fpr, tpr = curves["gap.fpr"], curves["gap.tpr"]
    inner = (fpr > 0) & (fpr < 1)
    return (float(fpr[inner][0]), float(tpr[inner][0])) if inner.any() else None


def log_axes(axes: Axes, low: float) -> None:
    """Both rates on logarithmic axes from ``low`` to 1, the decades marked in per cent."""
    ticks = 10.0 ** np.arange(math.ceil(math.log10(low)), 1)
    axes.set(xscale="log", yscale="log", xlim=(low, 1), ylim=(low, 1.15))
    axes.set_xticks(ticks, [f"{100 * tick:.6g}%" for tick in ticks])
    axes.set_yticks(ticks, [f"{100 * tick:.6g}%" for tick in ticks])
    axes.minorticks_off()
    axes.tick_params(length=3)
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    axes.set_xlabel("non-members wrongly called members (FPR)")
    axes.set_ylabel("members recognised (TPR)")


def histogram(members: Floats, nonmembers: Floats, attack: str) -> str | None:
    """Scores of members and non-members in shared bins; the extreme 0.5% a side are gathered in the end bins.

    Scores are ``(n1,)`` of members and ``(n0,)`` of non-members.
    """
    members, nonmembers = members[~np.isnan(members)], nonmembers[~np.isnan(nonmembers)]
    both = np.concatenate([members, nonmembers])
    finite = both[np.isfinite(both)]
    if not len(members) or not len(nonmembers) or not len(finite):
        return None
    low, high = _core(finite)
    edges = np.linspace(low, high, 49)
    with drawing("scores", 4.6, 2.9) as figure:
        axes = figure.add_subplot()
        for values, colour, name in ((members, MEMBER, "members"), (nonmembers, OTHER, "non-members")):
            shares = np.histogram(np.clip(values, low, high), edges)[0] / len(values)
            axes.stairs(shares, edges, color=colour, alpha=0.22, fill=True, linewidth=0)
            axes.stairs(
                shares, edges, color=colour, linewidth=1.6, linestyle="-" if name == "members" else (0, (4, 1.5)),
                label=f"{name} ({len(values):,})",
            )  # fmt: skip
        axes.set_xlim(low, high)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
        axes.tick_params(length=3)
        axes.grid(visible=True, axis="y")
        axes.set_axisbelow(True)
        axes.set_xlabel(f"score of {attack} (higher: likelier a member)")
        axes.set_ylabel("share of records")
        add_legend(figure, 2, loc="outside upper left")
        return to_svg(figure, "scores", f"Histogram of the scores of {attack} for members and for non-members")


def beyond(scores: Floats) -> int:
    """How many scores the histogram gathers in its end bins.

    Scores are ``(n1,)`` of members and ``(n0,)`` of non-members.
    """
    known = scores[~np.isnan(scores)]
    finite = known[np.isfinite(known)]
    if not len(finite):
        return 0
    low, high = _core(finite)
    return int(((known < low) | (known > high)).sum())


def _core(finite: Floats) -> tuple[float, float]:
    """The range that holds the middle 99% of the scores, widened where that is a single value."""
    low, high = (float(end) for end in np.quantile(finite, (0.005, 0.995)))
    return (low, high) if high > low else (low - 0.5, high + 0.5)
