"""The array type of records, for every room."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# ``(n, ...)`` features as a model takes them.
Records = NDArray[np.float32]
