"""The largest probability that a list of output defences lets through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memberwise.defences.output.base import OutputDefence
from memberwise.defences.output.confidence_noise import ConfidenceNoise
from memberwise.defences.output.hamp import Hamp
from memberwise.defences.output.high_confidence import HighConfidence
from memberwise.defences.output.image_noise import ImageNoise
from memberwise.defences.output.logit_clipping import LogitClipping
from memberwise.defences.output.rounding import Rounding
from memberwise.defences.output.temperature import Temperature
from memberwise.defences.output.top_k import TopK


def largest_probability(defences: Sequence[OutputDefence], classes: int) -> float:
    """No answer behind these defences, in this order, holds a larger probability; 1 where nothing bounds it.

    Logits whose largest is at most ``s`` above the smallest give at most 1 / (1 + (C - 1) e^-s). Clipping to [-r, r]
    makes s = 2r; a draw of at most h for each score adds 2h, a shared draw nothing; a temperature divides; noise on the
    image changes nothing, wherever it stands; rounding adds half its last digit.
    """
    spread, largest = np.inf, 1.0
    for defence in defences:
        match defence:
            case ImageNoise() | Hamp():
                continue
            case LogitClipping():
                spread = min(spread, 2 * defence.r)
            case Temperature():
                spread /= defence.t
            case ConfidenceNoise(on="logits"):
                spread += 0 if defence.draw == "shared" else 2 * defence.r
            case TopK() | HighConfidence():
                spread = np.inf
                continue
            case Rounding():
                spread, largest = np.inf, min(1.0, largest + 0.5 * 10.0**-defence.digits)
                continue
            case _:
                spread = np.inf
        largest = float(1 / (1 + (classes - 1) * np.exp(-spread)))
    return largest
