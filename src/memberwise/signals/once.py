"""What follows from a table of signals, computed once and kept as long as the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from memberwise.signals.table import Answers, Signals

T = TypeVar("T")
A = ParamSpec("A")


def once_a_table(compute: Callable[Concatenate[Signals, A], T]) -> Callable[Concatenate[Signals, A], T]:
    """A statistic of a table that attacks share: computed when first asked for, and kept as long as the table.

    A table made from another starts anew; further arguments, such as a temperature, have each a value of their own.
    """
    values: WeakKeyDictionary[Signals, dict[object, T]] = WeakKeyDictionary()

    @wraps(compute)
    def shared(signals: Signals, /, *args: A.args, **kwargs: A.kwargs) -> T:
        of_table, key = values.setdefault(signals, {}), (args, *sorted(kwargs.items()))
        if key not in of_table:
            of_table[key] = compute(signals, *args, **kwargs)
        return of_table[key]

    return shared


def once_for(
    answers: str, beside: str
) -> Callable[[Callable[Concatenate[Signals, A], T]], Callable[Concatenate[Signals, A], T]]:
    """As ``once_a_table``, of what follows from two parts of a table alone: tables that share the parts share it.

    Args:
        answers: name of the part, ``Answers``, with which the statistic is kept. beside: of the other.
    """

    def decorate(compute: Callable[Concatenate[Signals, A], T]) -> Callable[Concatenate[Signals, A], T]:
        values: WeakKeyDictionary[Answers, tuple[object, dict[object, T]]] = WeakKeyDictionary()

        @wraps(compute)
        def shared(signals: Signals, /, *args: A.args, **kwargs: A.kwargs) -> T:
            part, other, key = getattr(signals, answers), getattr(signals, beside), (args, *sorted(kwargs.items()))
            if part is None:
                return compute(signals, *args, **kwargs)
            if part not in values or values[part][0] is not other:
                values[part] = (other, {})
            found = values[part][1]
            if key not in found:
                found[key] = compute(signals, *args, **kwargs)
            return found[key]

        return shared

    return decorate
