"""``Round``: shadow models trained once the target was asked, on what the attacker by then believed of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memberwise.types.arrays import Floats, Mask

if TYPE_CHECKING:
    from memberwise.signals.table import Signals


@dataclass(frozen=True, eq=False)
class Round:
    """One round of a cascade.

    Attributes:
        prior: ``(n,)`` log odds of "member" before the round, of as many members as not; NaN where none are known.
        released: ``(n,)`` records on which a random half of the round's models trained; the others were put where
            their log odds have them, the same for every model.
        table: the target beside the round's models alone, about all ``n`` records.
    """

    prior: Floats
    released: Mask
    table: Signals

    def of_records(self, rows: NDArray[np.intp]) -> Round:
        """The round of the audited records at these ``(k,)`` positions."""
        return replace(self, prior=self.prior[rows], released=self.released[rows], table=self.table.of_records(rows))
