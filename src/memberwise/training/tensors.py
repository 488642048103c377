"""The data as tensors on the device: gathered by index, scaled on the way; no loader in the hot loop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from memberwise.types.arrays import Array, Ints


@dataclass(frozen=True)
class DataTensors:
    """All records: ``x`` ``(n, ...)`` uint8 (scaled to [0, 1] when a batch is taken) or floats; ``y`` ``(n,)``."""

    x: Tensor
    y: Tensor
    classes: int

    @classmethod
    def of(cls, x: Array, y: Ints, classes: int, device: torch.device) -> DataTensors:
        """The data on a device.

        Args:
            x: ``(n, ...)``. y: ``(n,)``.
        """
        return cls(torch.from_numpy(x).to(device), torch.from_numpy(y).to(device), classes)

    def __reduce__(self) -> tuple[type[DataTensors], tuple[Tensor, Tensor, int]]:
        return type(self), (self.x, self.y, self.classes)  # without what was made of them

    def on(self, device: torch.device) -> DataTensors:
        """The same records on another device."""
        return (
            self
            if self.x.device.type == device.type
            else type(self)(self.x.to(device), self.y.to(device), self.classes)
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one record."""
        return tuple(self.x.shape[1:])

    @cached_property
    def in_bfloat16(self) -> DataTensors:
        """The same records kept scaled and in bfloat16, for steps that multiply in it anyway."""
        x = self.x.to(torch.bfloat16)  # exact for uint8, so that no float32 copy is needed on the way
        return DataTensors(x.div_(255.0) if self.x.dtype is torch.uint8 else x, self.y, self.classes)

    def records(self, rows: Tensor) -> Tensor:
        """float32 records of the rows.

        Args:
            rows: ``(...,)`` of any shape, which comes first in the result's.
        """
        taken = self.x.index_select(0, rows.reshape(-1))
        taken = taken.float().div_(255.0) if taken.dtype is torch.uint8 else taken
        return taken.reshape(*rows.shape, *self.shape)
