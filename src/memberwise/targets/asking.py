"""Many questions asked side by side: tried again where that may help, within a budget, each answer kept at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from memberwise.errors import AskingError, MemberwiseError, TrainingError
from memberwise.models.kinds import Kind
from memberwise.targets.answer_store import Answer, AnswerStore
from memberwise.targets.protocols.base import Outputs, Sent
from memberwise.targets.sending import Again, Answered, Failed, Outcome, Refused, Sender
from memberwise.types.arrays import Ints

# Seconds before the first further try, doubled for each one after it, and the most.
FIRST_WAIT, MOST_WAIT = 0.5, 30.0
# Who asks for more patience than this is asked again another day.
PATIENCE = 3600.0
# After so many single records were refused in a row nobody is asked any more.
REFUSALS = 8
# In the run folder's answer store: records sent, answered, in tries again, refused; requests' seconds.
SENT, ANSWERED, RETRIES, REFUSED, SECONDS = "sent", "answered", "retries", "refused", "seconds"
CONTINUE = "the same command continues: what was answered is kept and not asked again"


class BudgetSpent(TrainingError):
    """No further question is granted, by ``max_queries`` or by the server."""


class Coarser(MemberwiseError):
    """Answers became coarser than those before: all are to be read as this kind."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(
            f"the server's answers turned into {kind} on the way",
            where="target.endpoint",
            fix="a larger budget there, and another --out",
        )
        self.kind = kind


@dataclass(frozen=True)
class Pace:
    """batch: records a request. concurrency: requests at once. retries: of one request. most: records sent in all."""

    batch: int
    concurrency: int
    retries: int
    most: int | None = None


@dataclass
class _Try:
    """Positions of records that are asked about together.

    tries: how often that failed. waited: seconds at the server's own wish. due: not before that.
    """

    rows: Ints
    tries: int = 0
    waited: float = 0.0
    due: float = 0.0


class Asker:
    """Asks a sender, keeps in a store.

    Args:
        read: outputs and a number of records to answers. tell: how many records were answered, each time.
        clock, sleep: seconds, and waiting.
    """

    def __init__(
        self,
        sender: Sender,
        store: AnswerStore,
        pace: Pace,
        read: Callable[[Outputs, int], list[Answer]],
        tell: Callable[[int], None] = lambda count: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.sender, self.store, self.pace, self.read, self.tell = sender, store, pace, read, tell
        self.clock, self.sleep = clock, sleep

    def ask(self, take: Callable[[Ints], Sent], rows: Ints, digests: Sequence[bytes]) -> None:
        """Ask about records, and keep every answer as it comes.

        Args:
            take: the records at positions. rows: ``(n,)`` which. digests: under which their answers are kept.

        Raises:
            BudgetSpent: the budget is spent, ours or the server's. AskingError: the server does not answer any more.
            TargetError: it does not take the questions, or its answers are none.
        """
        parts = (rows[first : first + self.pace.batch] for first in range(0, len(rows), self.pace.batch))
        run = _Run(self, take, digests, deque(_Try(part) for part in parts))
        with ThreadPoolExecutor(self.pace.concurrency, "asking") as pool:
            run.carry_out(pool)

    def once(self, records: Sent) -> list[Answer]:
        """Answers that are not kept, about ``(n, ...)`` records whose first answer is.

        Raises:
            BudgetSpent, AskingError, TargetError: as ``ask``.
        """
        tries, waited = 0, 0.0
        while True:
            self.take_from_budget(len(records))
            outcome = self.sender.send(records)
            if isinstance(outcome, Answered):
                self.store.count(seconds=outcome.seconds, answered=len(records))
                return self.read(outcome.outputs, len(records))
            if isinstance(outcome, Failed):
                raise outcome.error
            if isinstance(outcome, Refused):
                self.store.count(sent=-len(records))
                raise refused_by_server(outcome.why)
            self.store.count(retries=len(records), sent=0 if outcome.counted else -len(records))
            delay = delay_before(outcome, tries, waited, self.pace.retries)
            self.sleep(delay)
            tries, waited = tries + 1, waited + (delay if outcome.busy else 0.0)

    @property
    def remaining(self) -> int | None:
        """Records that may still be asked about; None: any number."""
        return None if self.pace.most is None else self.pace.most - round(self.store.counted(SENT))

    def take_from_budget(self, count: int) -> None:
        """Count questions before they are sent.

        Raises:
            BudgetSpent: they are more than are left.
        """
        if self.remaining is not None and count > self.remaining:
            raise own_budget_spent(self.pace.most or 0, self.remaining)
        self.store.count(sent=count)


class _Run:
    """One call's questions: waiting, under way, refused."""

    def __init__(
        self, asker: Asker, take: Callable[[Ints], Sent], digests: Sequence[bytes], waiting: deque[_Try]
    ) -> None:
        self.asker, self.take, self.digests, self.waiting = asker, take, digests, waiting
        self.running: dict[Future[Outcome], _Try] = {}
        self.error: MemberwiseError | None = None
        self.pause, self.in_a_row, self.refused, self.why = 0.0, 0, 0, ""
        self.width = float(asker.pace.concurrency)  # requests at once: fewer after each that came too early

    def carry_out(self, pool: ThreadPoolExecutor) -> None:
        """Ask until all is answered, or there is a reason to stop; what is under way then is still waited for."""
        try:
            while self.error is None and (self.waiting or self.running):
                self._submit(pool)
                self._settle_some()
        finally:
            while self.running:  # an answer that was paid for is kept, whatever ends us
                self._settle(*wait(self.running)[0])
        if self.error is not None:
            raise self.error
        if self.refused:
            raise refused_by_server(self.why, self.refused)

    def _submit(self, pool: ThreadPoolExecutor) -> None:
        asker, now = self.asker, self.asker.clock()
        while len(self.running) < int(self.width) and self.pause <= now:
            one = next((one for one in self.waiting if one.due <= now), None)
            if one is None:
                return
            remaining = asker.remaining
            if remaining is not None and remaining < len(one.rows):
                if remaining < 1 and self.running:
                    return  # one under way may yet be refused, which costs nothing
                if remaining < 1:
                    self.error = own_budget_spent(asker.pace.most or 0, 0)
                    return
                self.waiting.append(_Try(one.rows[remaining:], one.tries, one.waited, one.due))
                one.rows = one.rows[:remaining]
            self.waiting.remove(one)
            asker.take_from_budget(len(one.rows))
            self.running[pool.submit(asker.sender.send, self.take(one.rows))] = one

    def _settle_some(self) -> None:
        now = self.asker.clock()
        due = max(self.pause, min((one.due for one in self.waiting), default=now)) if self.waiting else None
        if not self.running:
            if due is not None and due > now and self.error is None:
                self.asker.sleep(due - now)
            return
        free = len(self.running) < int(self.width)
        timeout = max(0.0, due - now) if due is not None and free and due > now else None
        self._settle(*wait(self.running, timeout=timeout, return_when=FIRST_COMPLETED)[0])

    def _settle(self, *done: Future[Outcome]) -> None:
        for future in done:
            one = self.running.pop(future)
            try:
                self._judge(one, future.result())
            except MemberwiseError as error:
                self.error = self.error or error

    def _judge(self, one: _Try, outcome: Outcome) -> None:
        store, count = self.asker.store, len(one.rows)
        if isinstance(outcome, Answered):
            answers = self.asker.read(outcome.outputs, count)
            kept = {self.digests[row]: answer for row, answer in zip(one.rows, answers, strict=True)}
            store.keep(kept, answered=count, seconds=outcome.seconds)
            self.asker.tell(count)
            self.width = min(float(self.asker.pace.concurrency), self.width + 1 / self.width)
            self.in_a_row = 0
        elif isinstance(outcome, Failed):
            raise outcome.error
        elif isinstance(outcome, Again):
            store.count(retries=count, sent=0 if outcome.counted else -count)
            delay = delay_before(outcome, one.tries, one.waited, self.asker.pace.retries)
            due = self.asker.clock() + delay
            self.waiting.append(_Try(one.rows, one.tries + 1, one.waited + (delay if outcome.busy else 0.0), due))
            if outcome.busy:
                self.width = max(1.0, self.width / 2)
            if outcome.delay is not None:  # it asks everybody to wait
                self.pause = max(self.pause, due)
        else:
            store.count(sent=-count)
            self._refused(one, outcome)

    def _refused(self, one: _Try, outcome: Refused) -> None:
        """Half as many may do; a single record that is refused stays without an answer."""
        count = len(one.rows)
        if count > 1:
            self.waiting.extendleft([_Try(one.rows[count // 2 :]), _Try(one.rows[: count // 2])])
            return
        if outcome.too_large:
            raise AskingError("a single record is too large for the server", found=outcome.why, where="target.endpoint")
        self.asker.store.count(refused=1)
        self.refused, self.in_a_row, self.why = self.refused + 1, self.in_a_row + 1, outcome.why
        if self.in_a_row >= REFUSALS:
            self.refused += sum(len(other.rows) for other in self.waiting)
            self.waiting.clear()


def delay_before(outcome: Again, tries: int, waited: float, retries: int) -> float:
    """Seconds before the next try, after ``tries`` that failed and ``waited`` seconds at the server's wish.

    What the server refuses with a time to come back is asked as long as there is patience: others may have come first.

    Raises:
        AskingError: there were ``retries`` tries again already, or the server asks for more patience than there is.
    """
    back_off = float(min(MOST_WAIT, FIRST_WAIT * 2 ** min(tries, 30)))
    if outcome.delay is None or not outcome.busy:
        if tries >= (2 * retries if outcome.busy else retries):
            raise gave_up(outcome.why, tries)
        return back_off if outcome.delay is None else _patient(outcome, outcome.delay, 0.0)
    later = float(min(MOST_WAIT, FIRST_WAIT * 2 ** min(max(0, tries - retries), 30)))
    return _patient(outcome, outcome.delay if tries < retries else max(outcome.delay, later), waited)


def _patient(outcome: Again, delay: float, waited: float) -> float:
    if waited + delay > PATIENCE:
        raise AskingError(
            f"the server asks to wait {delay:,.0f} s" + (f", after {waited:,.0f} s" if waited else ""),
            found=outcome.why,
            where="target.endpoint",
            fix=f"run it again after that; {CONTINUE}",
        )
    return delay


def gave_up(why: str, tries: int) -> AskingError:
    """The error for a server that does not answer."""
    return AskingError(
        f"the server does not answer, in {tries + 1} tries",
        found=why,
        where="target.endpoint",
        fix=f"when it is back, {CONTINUE}; more patience: --set target.retries=20, target.timeout=120",
    )


def own_budget_spent(most: int, remaining: int) -> BudgetSpent:
    """The error for a budget of ours that is spent."""
    return BudgetSpent(
        "the budget of questions is spent",
        expected="as many as the audit needs; --dry-run says how many",
        found=f"--max-queries {most:,}, {remaining:,} left",
        where="target.max_queries",
        fix=f"a larger --max-queries; {CONTINUE}",
    )


def refused_by_server(why: str, count: int | None = None) -> BudgetSpent:
    """The error for a server that grants no more answers."""
    return BudgetSpent(
        "the server grants no more answers"
        + ("" if count is None else f": {count:,} record{'s are' if count > 1 else ' is'} without one"),
        found=why,
        where="target.endpoint",
        fix=f"with a larger budget there, or another key, {CONTINUE}",
    )
