"""One root seed, spawned per purpose and index: no random number anywhere comes from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np


@dataclass(frozen=True)
class Seeds:
    """Independent random streams, named by purpose and index (a model's number, say).

    The stream of a purpose and index depends on nothing else: not on how many other streams were drawn, and
    not on their order. So the first k shadow models of a longer list are those of the list of length k.
    """

    root: int

    def sequence(self, purpose: str, index: int = 0) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.root, spawn_key=(crc32(purpose.encode()), index))

    def rng(self, purpose: str, index: int = 0) -> np.random.Generator:
        """A NumPy generator for this purpose."""
        return np.random.default_rng(self.sequence(purpose, index))

    def integer(self, purpose: str, index: int = 0) -> int:
        """A seed below 2**63 for generators which take an integer (torch, scikit-learn)."""
        return int(self.sequence(purpose, index).generate_state(1, np.uint64)[0] >> np.uint64(1))
