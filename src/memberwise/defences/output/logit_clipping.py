"""Logit clipping: no score leaves [-r, r] (Kaplan's slides on defences against membership inference)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from memberwise.defences.output.base import OutputDefence, as_logits, refuse_labels, with_label
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array, Floats

if TYPE_CHECKING:
    from memberwise.targets.base import Records, Target


class LogitClipping(OutputDefence):
    """Logits brought into [-r, r] ("confidence regularisation"); a smaller ``r`` hides more.

    The largest probability is then at most e^r / (e^r + (C - 1) e^-r). The slides do not say how; their accuracy at
    r = 1 fits either form here, not plain clipping, which ties classes.

    Args:
        r: in units of logits.
        mode: "clip" cuts off (a class that it ties with the label goes a millionth below it); "rescale" multiplies all
            logits by r over the largest magnitude, where that exceeds r.
    """

    grid = ({"r": 5.0}, {"r": 3.0}, {"r": 2.0}, {"r": 1.0}, {"r": 0.5})

    r: Annotated[float, Field(gt=0)] = 1.0
    mode: Literal["clip", "rescale"] = "clip"

    def gives(self, kind: Kind) -> Kind:
        refuse_labels(self, kind)
        return "logits"

    def answer(self, target: Target, x: Records, states: Sequence[object] | None, keys: Sequence[bytes]) -> Array:
        """Logits with a bounded norm, ``(m, n, C)`` for ``(n, ...)`` records."""
        return (clipped if self.mode == "clip" else rescaled)(as_logits(target.predict(x), target.kind), self.r)


def clipped(logits: Floats, r: float) -> Floats:
    """``(..., C)`` logits cut off at -r and r; the first of the largest stays the first of the largest."""
    top, below = logits.max(-1, keepdims=True), r * (1 - 1e-6)
    out = np.clip(logits, -r, r)
    np.copyto(out, below, where=(logits >= r) & (logits < top))
    if top.min() <= -r:
        # Where all are at or below -r the label's goes a little above it.
        np.put_along_axis(out, logits.argmax(-1)[..., None], np.clip(top, -below, r), -1)
    return out


def rescaled(logits: Floats, r: float) -> Floats:
    """``(..., C)`` logits times r over the row's largest magnitude, where that exceeds r."""
    largest = np.abs(logits).max(-1, keepdims=True)
    out = np.clip(logits * (r / np.maximum(largest, r)), -r, r)
    return with_label(out, logits.argmax(-1))
