"""What stands behind the gateway: a model of this process, or another server."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from memberwise.errors import MemberwiseError
from memberwise.gateway.bounded import Mechanism
from memberwise.gateway.problems import Problem
from memberwise.gateway.protocols.base import LARGEST, Rows
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array, Floats32

# Requests that wait for the model at once; more are refused.
WAITING = 4096
# Seconds for which requests are not joined after a joined call failed whose parts then did not.
APART = 60.0


class BehindError(MemberwiseError):
    """What is behind the gateway gave no usable answer: nothing was released, and the budget is given back.

    Args:
        kind: of the problem that the client is told: "bad-answer", "slow-answer", "unavailable" or "invalid-records".
        one: it may be one request's fault, of several that were asked together.
    """

    def __init__(self, problem: str, kind: str = "bad-answer", *, one: bool = True) -> None:
        self.kind, self.one = kind, one and kind in ("bad-answer", "invalid-records")
        super().__init__(problem)


class Behind(Protocol):
    """What answers.

    Attributes:
        classes: names of the classes. shape: of one record.
        kind: what one answer is, after output defences.
        fingerprint: changes where another model, or other output defences, answer.
        columns: of a table's rows that it takes; None: arrays alone.
        datatype: of records, as v2 calls it.
        mechanism: makes answers with a bound of what an ensemble says; None: ``answer`` gives them.
    """

    classes: tuple[str, ...]
    shape: tuple[int, ...]
    fingerprint: str
    columns: tuple[str, ...] | None
    datatype: str
    mechanism: Mechanism | None

    @property
    def kind(self) -> Kind: ...

    def records(self, sent: Array | Rows) -> Floats32:
        """Records ``(n, *shape)`` as the model takes them.

        Raises:
            Problem: they are not what it takes.
        """
        ...

    async def answer(self, x: Floats32) -> Array:
        """``(n, classes)`` float64, or class numbers ``(n,)`` int64; with a mechanism ``(n, worlds, classes)``.

        Args:
            x: ``(n, *shape)``.

        Raises:
            BehindError: there is no usable answer.
        """
        ...

    async def ready(self) -> bool:
        """Whether a question would be answered now."""
        ...

    async def close(self) -> None:
        """Let go of whatever it holds."""
        ...


def array_records(sent: Array | Rows, shape: tuple[int, ...]) -> Floats32:
    """Numbers ``(n, *shape)``, of arrays or of tables whose columns are the features in their order.

    Raises:
        Problem: another shape, or a table with other than numbers.
    """
    sent = shaped(_numbers_of(sent) if isinstance(sent, Rows) else sent, shape)
    if sent.shape[1:] != shape:
        raise Problem("invalid-records", f"A record is of shape {list(shape)}.")
    return sent.astype(np.float32)


def shaped(sent: Array, shape: tuple[int, ...]) -> Array:
    """Records ``(n, features)`` as ``(n, *shape)`` where they are as many numbers; others as they are."""
    flat = sent.ndim == 2 and len(shape) > 1 and sent.shape[1] == math.prod(shape)
    return sent.reshape(len(sent), *shape) if flat else sent


def _numbers_of(rows: Rows) -> Array:
    if any(type(value) not in (int, float) for row in rows.data for value in row):
        raise Problem("invalid-records", "Records are numbers; texts, true, false and null are not.")
    array = np.array(rows.data, np.float64)
    if not (np.abs(array) <= LARGEST).all():
        raise Problem("invalid-records", "A number is not finite, or too large.")
    return array


def check_answers(answers: Array, records: int, classes: int, kind: Kind | None) -> Array:
    """Answers that can be given: float64 ``(n, classes)``, or labels ``(n,)`` int64.

    Args:
        kind: what they are known to be; None: not yet.

    Raises:
        BehindError: another shape, NaN or infinity, or labels that are no class.
    """
    if kind == "labels" or (kind is None and answers.ndim == 1):
        if answers.shape != (records,) or answers.dtype.kind not in "iu":
            raise BehindError("the model's labels are not one whole number a record")
        if answers.size and not (answers.min() >= 0 and answers.max() < classes):
            raise BehindError("the model's labels are not among the classes")
        return answers.astype(np.int64)
    if answers.shape != (records, classes) or answers.dtype.kind not in "fiu":
        raise BehindError(f"the model's answers are not of shape {(records, classes)}")
    values = answers.astype(np.float64)
    if not np.isfinite(values).all():
        raise BehindError("the model's answers hold NaN or infinity")
    if kind == "probabilities":
        _check_probabilities(values, classes)
    return values


def _check_probabilities(values: Array, classes: int) -> None:
    """Between 0 and 1 with sum 1, as far as rounding to two digits leaves them so."""
    off = np.abs(values.sum(1) - 1).max(initial=0)
    if values.size and (values.min() < -1e-6 or values.max() > 1 + 1e-6 or off > 0.01 + 0.005 * classes):
        raise BehindError("the model's answers are no probabilities, which it answered before")


@dataclass
class _Waiting:
    x: Floats32
    future: asyncio.Future[Array]


class Joined:
    """Calls of one model: what arrives at the same time is asked in one call.

    Args:
        ask: from records ``(n, *shape)`` to their answers, one a record.
        calls: that run at once. records: in one joined call, at most.
    """

    def __init__(
        self,
        ask: Callable[[Floats32], Awaitable[Array]],
        calls: int,
        records: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ask, self.free, self.records, self.clock = ask, calls, records, clock
        self.waiting: list[_Waiting] = []
        self.running: set[asyncio.Task[None]] = set()
        self.apart_until = -np.inf
        self.scheduled = False

    async def answer(self, x: Floats32) -> Array:
        """The answers about these records.

        Args:
            x: ``(n, *shape)``.

        Raises:
            BehindError: what ``ask`` raised, or too many wait already.
        """
        if len(self.waiting) >= WAITING:
            raise BehindError("too many requests wait for the model", "unavailable")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(x, loop.create_future())
        self.waiting.append(waiting)
        if not self.scheduled and self.free:
            self.scheduled = True
            loop.call_soon(self._start)
        return await waiting.future

    async def close(self) -> None:
        """Wait for the calls that run."""
        await asyncio.gather(*self.running, return_exceptions=True)

    def _start(self) -> None:
        """Begin as many calls as may run, each with what waits."""
        self.scheduled = False
        self.waiting = [one for one in self.waiting if not one.future.done()]  # others have given up
        while self.waiting and self.free:
            group = self._group()
            self.free -= 1
            task = asyncio.get_running_loop().create_task(self._call(group))
            self.running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        self.free += 1
        self._start()

    def _group(self) -> list[_Waiting]:
        """Of those that wait, from the first on, as many as one call may ask about."""
        most = 1 if self.clock() < self.apart_until else self.records
        size, count = 0, 0
        for one in self.waiting:
            size += len(one.x)
            if count and size > most:
                break
            count += 1
        group, self.waiting = self.waiting[:count], self.waiting[count:]
        return group

    async def _call(self, group: list[_Waiting]) -> None:
        try:
            x = group[0].x if len(group) == 1 else np.concatenate([one.x for one in group])
            answers = await self.ask(x)
        except Exception as error:
            if len(group) > 1 and getattr(error, "one", True):
                await self._one_by_one(group)
            else:
                for one in group:
                    _fail(one, error)
            return
        first = 0
        for one in group:
            if not one.future.done():
                one.future.set_result(answers[first : first + len(one.x)])
            first += len(one.x)

    async def _one_by_one(self, group: list[_Waiting]) -> None:
        """After a joined call failed: nobody bears what another one's records did."""
        failed = 0
        for one in group:
            if one.future.done():
                continue
            try:
                answers = await self.ask(one.x)
            except Exception as error:
                failed += 1
                _fail(one, error)
            else:
                if not one.future.done():
                    one.future.set_result(answers)
        if not failed:
            self.apart_until = self.clock() + APART


def _fail(one: _Waiting, error: Exception) -> None:
    if not one.future.done():
        one.future.set_exception(error)
