"""One record's answers as inline SVG: shadow models that trained on it, and those that did not."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np

from memberwise.report.formats import count
from memberwise.types.arrays import Floats

WIDTH, HEIGHT, LEFT, RIGHT, MIDDLE, TALL, BINS = 330, 150, 78, 322, 66, 52, 28


def in_out(inside: Floats, outside: Floats, target: float, record: str) -> str:
    """One record's phi: shadow models that trained on it above the line, those that did not below, the target marked.

    ``(k1,)`` values of models that trained on it, ``(k0,)`` of those that did not.
    """
    values = np.concatenate([inside, outside, [target]]).astype(np.float64)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    margin = 0.06 * (high - low) or 1.0
    edges = np.linspace(low - margin, high + margin, BINS + 1)

    def across(value: float) -> float:
        return round(float(LEFT + (RIGHT - LEFT) * (value - edges[0]) / (edges[-1] - edges[0])), 1)

    parts = [
        *_bars(inside, edges, across, "var(--c1)", up=True),
        *_bars(outside, edges, across, "var(--c2)", up=False),
        f'<path d="M{LEFT} {MIDDLE}H{RIGHT}" stroke="var(--muted)"/>',
    ]
    for tick in _ticks(edges[0], edges[-1]):
        words = f"{tick:.6g}".replace("-", "\N{MINUS SIGN}")
        parts.append(f'<path d="M{across(tick)} 124v4" stroke="var(--muted)"/>')
        parts.append(f'<text x="{across(tick)}" y="142" text-anchor="middle">{words}</text>')
    parts += [
        f'<text x="{LEFT - 8}" y="42" text-anchor="end">IN ({len(inside)})</text>',
        f'<text x="{LEFT - 8}" y="98" text-anchor="end">OUT ({len(outside)})</text>',
    ]
    if np.isfinite(target):
        x = across(target)
        parts.append(f'<path d="M{x} 10V122" stroke="var(--ink)" stroke-width="1.5"/>')
        parts.append(f'<path d="M{x} 12l-5-8h10z" fill="var(--ink)"/>')
    label = f"{record}: {in_out_words(inside, outside, target)}"
    return (
        f'<svg class="in-out" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def in_out_words(inside: Floats, outside: Floats, target: float) -> str:
    """The same in a sentence: ``(k1,)`` values of models that trained on it, ``(k0,)`` of those that did not."""

    def mean(part: Floats) -> str:
        return f" (mean {_value(float(np.mean(part)))})" if len(part) else ""

    return (
        f"scaled logits of {count(len(inside))} models that trained on it{mean(inside)} and {count(len(outside))} that "
        f"did not{mean(outside)}; the target's is {_value(target)}."
    )


def _value(logit: float) -> str:
    """Two decimals, with a minus sign as on the axis."""
    return f"{logit:.2f}".replace("-", "\N{MINUS SIGN}")


def _bars(values: Floats, edges: Floats, across: Callable[[float], float], colour: str, *, up: bool) -> list[str]:
    counts = np.histogram(values[np.isfinite(values)], edges)[0]
    most = max(1, int(counts.max()))
    drawn = []
    for place in np.flatnonzero(counts):
        left, right = across(edges[place]), across(edges[place + 1])
        tall = round(TALL * counts[place] / most, 1)
        top = round(MIDDLE - tall, 1) if up else MIDDLE
        width = round(right - left, 1)
        drawn.append(f'<rect x="{left}" y="{top}" width="{width}" height="{tall}" fill="{colour}"/>')
    return drawn


def _ticks(low: float, high: float) -> Floats:
    """About five round numbers in the range."""
    raw = (high - low) / 5
    unit = float(10.0 ** np.floor(np.log10(raw)))
    step = unit * min((1, 2, 5, 10), key=lambda one: abs(one - raw / unit))
    return np.asarray(np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step)
