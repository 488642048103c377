"""What a model's answers share with other models' across records: it says nothing about the single record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memberwise.attacks.in_out import record_blocks
from memberwise.signals.streamed import of_block
from memberwise.signals.table import Answers
from memberwise.types.arrays import Floats, Floats32

# Residuals beyond count as this many spreads; the ridge is this share of the models' mean variance.
FARTHEST = 4.0
RIDGE = 0.3


@dataclass(frozen=True)
class Drift:
    """The shadow models' residuals.

    Attributes:
        inside, outside: ``(n,)`` mean phi over IN and over OUT models; spread: ``(n,)`` of a model around them.
        residuals: ``(m, n)`` float32, each model's phi less the mean of the *other* models on its side, in spreads;
            0 where there is none.
        weights: ``(m, m)`` inverse of their second moments over records, with a ridge.
    """

    in_moments: Floats
    out_moments: Floats
    spread: Floats
    residuals: Floats32
    weights: Floats

    @classmethod
    def of(
        cls,
        shadows: Answers,
        trained_on: NDArray[np.int8],
        in_moments: Floats,
        out_moments: Floats,
        spread: Floats,
    ) -> Drift:
        """From the shadow models' answers, ``trained_on`` ``(m, n)``, and the statistics above."""
        residuals = np.zeros(trained_on.shape, np.float32)
        for part in record_blocks(shadows):
            phi = (of_block(shadows.log_p, part).astype(np.float64) - of_block(shadows.log_1mp, part)).mean(-1)
            for value, mean in ((1, in_moments[part]), (0, out_moments[part])):
                side = trained_on[:, part] == value
                count = side.sum(0)
                others = count / np.maximum(count - 1, 1)  # a mean without one of its n values lies n/(n-1) as far off
                far = np.clip((phi - mean) * others / spread[part], -FARTHEST, FARTHEST)
                residuals[:, part] += np.where(side & np.isfinite(far), far, 0.0)
        models = len(residuals)
        moments = (residuals @ residuals.T).astype(np.float64) / shadows.records
        ridge = max(RIDGE * float(np.trace(moments)) / models, 1e-12)
        return cls(
            in_moments,
            out_moments,
            spread,
            residuals,
            np.asarray(np.linalg.inv(moments + ridge * np.eye(models)), np.float64),
        )

    def of_model(self, phi: Floats, member: Floats) -> Floats:
        """``(n,)``: what of a model's answers the shadow models' residuals explain, on phi's scale.

        The model's residuals are regressed on theirs over all records (ridge regression).

        Args:
            phi: ``(n,)`` its answers; member: ``(n,)`` in [0, 1], a first guess at its membership.
        """
        residual = (phi - member * self.in_moments - (1.0 - member) * self.out_moments) / self.spread
        residual = np.nan_to_num(np.clip(residual, -FARTHEST, FARTHEST)).astype(np.float32)
        loadings = self.weights @ (self.residuals @ residual).astype(np.float64) / len(residual)
        return np.asarray(loadings.astype(np.float32) @ self.residuals * self.spread, np.float64)
