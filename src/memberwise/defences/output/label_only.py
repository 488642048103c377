"""Label only: the largest class and nothing else (Shokri et al. 2017, section VIII.A: "top-1 label")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from memberwise.defences.output.base import OutputDefence
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array

if TYPE_CHECKING:
    from memberwise.targets.base import Records, Target


class LabelOnly(OutputDefence):
    """Answer the label alone. The gap attack and label-only attacks lose nothing."""

    def gives(self, kind: Kind) -> Kind:
        return "labels"

    def answer(self, target: Target, x: Records, states: Sequence[object] | None, keys: Sequence[bytes]) -> Array:
        answers = target.predict(x)
        return answers if target.kind == "labels" else np.asarray(answers.argmax(-1), np.int64)
