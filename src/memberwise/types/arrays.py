"""What arrays are called in signatures: one name, one meaning. Shapes stand in docstrings."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]  # of any type
DType: TypeAlias = np.dtype[Any]
Floats: TypeAlias = NDArray[np.float64]
Floats32: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = Ints  # row numbers
Records: TypeAlias = Floats32  # ``(n, ...)`` features as a model takes them
Arrays: TypeAlias = dict[str, Array]  # by name
