"""A table of signals whose arrays cannot be written into."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from memberwise.signals.once import once_a_table
from memberwise.signals.table import Signals
from memberwise.types.arrays import Array

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

P = TypeVar("P", bound="DataclassInstance")


def _locked(part: P) -> P:
    """The same part with views of its arrays that cannot be written into."""

    def view(value: Array) -> Array:
        locked = value.view()
        locked.flags.writeable = False
        return locked

    changed: dict[str, object] = {}
    for one in fields(part):
        value: object = getattr(part, one.name)
        if isinstance(value, np.ndarray):
            changed[one.name] = view(value)
        elif isinstance(value, dict):
            changed[one.name] = {name: view(array) for name, array in value.items()}
        elif isinstance(value, tuple):
            changed[one.name] = tuple(_locked(each) for each in value)
        elif is_dataclass(value) and not isinstance(value, type):
            changed[one.name] = _locked(value)
    return replace(part, **changed)


@once_a_table
def read_only(signals: Signals) -> Signals:
    """The same table, whose arrays refuse to be written into: what an attack of the user's own is given."""
    return _locked(signals)
