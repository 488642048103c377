"""What a target is: one trained model, or several, that can be asked."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from memberwise.errors import Note
from memberwise.models.kinds import Kind as Kind
from memberwise.models.kinds import kind_of_answers as kind_of_answers
from memberwise.types.arrays import Array
from memberwise.types.arrays import Records as Records

if TYPE_CHECKING:
    from memberwise.models.network import Network, Tensors


class Networks(Protocol):
    """Networks with their weights at hand: parameters and buffers ``(m, ...)`` by name."""

    @property
    def network(self) -> Network: ...

    @property
    def params(self) -> Tensors: ...

    @property
    def buffers(self) -> Tensors: ...


class Target(ABC):
    """``m`` models that answer: the target alone (``m == 1``), or shadow models in its place.

    Attributes:
        kind: what one answer is.
        remarks: codes of what was noticed while they were asked (``signals.remarks`` has the words).
        early: the same models after a part of their training, the earliest first, where that was kept.
    """

    kind: Kind
    remarks: tuple[str, ...] = ()
    early: Sequence[Target] = ()

    @abstractmethod
    def __len__(self) -> int:
        """How many models there are."""

    @abstractmethod
    def predict(self, x: Records) -> Array:
        """``(m, n, C)`` answers of every model to ``(n, ...)`` records; ``(m, n)`` where ``kind`` is "labels"."""

    def __call__(self, x: Records) -> Array:
        """The same as ``predict``."""
        return self.predict(x)

    def worlds(self, x: Records) -> Array | None:
        """``(m, W, n, C)`` answers of the ``W`` models that each of the ``m`` consists of; None where that is one."""
        return None

    def one(self, i: int) -> Target:
        """The i-th of the models, by itself."""
        if len(self) > 1:
            raise TypeError(f"{type(self).__name__} cannot be taken apart")
        return self

    @property
    def white_box(self) -> Networks | None:
        """The networks behind the answers, weights included; None where they are not at hand."""
        return None

    def weights(self) -> Tensors | None:
        """What a released folder keeps of the one model, by name; None where its weights are not at hand."""
        return None

    def for_labels(self) -> Target:
        """What has the same labels at the lowest cost."""
        return self

    @property
    def users_code(self) -> str | None:
        """The part of what answers that is the user's own and raises as it likes, in words; None where none is."""
        return None

    def fingerprint(self, example: Records) -> str:
        """SHA-256 of its answers about a few records: it changes where the model is trained again.

        ``example``: ``(n, ...)`` records.
        """
        return hashlib.sha256(np.ascontiguousarray(self.predict(example)).tobytes()).hexdigest()

    def notes(self, name: str) -> list[Note]:
        """What is to be said of it, as (code, message).

        Args:
            name: what to call it, such as "the given target".
        """
        return []
