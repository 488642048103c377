"""What looks like an attack: patterns in a client's last questions, as alarms that may lower its tier.

A lowered tier must not tell what the answers hide. It follows from a client's own questions and the labels it was
answered, which it knows: an attacker could compute it itself. Margins of answers, other clients' questions and
distances (whose scale is that of all clients' questions) raise alarms for the operator alone.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from memberwise.gateway.policy import Tier, Watch
from memberwise.gateway.sketches import COMPARED, NEAR, WIDTH, Strangers, distances
from memberwise.types.arrays import Array, Floats32

Code = Literal[
    "near-duplicates", "altered-copies", "boundary", "boundary-margins", "averaging", "shared-neighbourhoods"
]
# Alarms of these follow from what the client knows itself.
LOWERING: frozenset[Code] = frozenset({"near-duplicates", "boundary", "averaging"})
SENTENCES: Mapping[Code, str] = {
    "near-duplicates": "{share} of the last {asked} questions are near copies of records that the client asked about "
    "before, as votes over noised copies are",
    "altered-copies": "{share} of the last {asked} questions are much nearer to an earlier one than strangers are, as "
    "votes over shifted, turned or slightly changed copies are",
    "boundary": "{share} of the last {asked} questions were answered by another label than their nearest predecessor, "
    "as in a search for the decision boundary",
    "boundary-margins": "{share} of the last {asked} questions have another label, or less than half of the margin, "
    "than their nearest predecessor, as in a search for the decision boundary",
    "averaging": "{share} of the last {asked} questions were asked for the third time or more, as for an average over "
    "noise (the answer stays the stored one)",
    "shared-neighbourhoods": "{share} of the last {asked} questions are near copies of records that other clients "
    "asked about, as of several clients that share an attack",
}
# A question counts as repeated from this time on: a batch that is sent again after a failure is no attack.
REPEATED = 3
# A margin below this share of the neighbour's shrinks.
SHRINKS = 0.5
# With fewer questions than this share of the window, their share is taken of so many.
LEAST = 0.5
# An alarm ends where the share has fallen to this part of its limit.
CLEARED = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was answered: the record's keyed digest and cells, the label; the top-two margin and the
    record's sketch ``(32,)``, if known."""

    digest: bytes
    cells: tuple[bytes, ...]
    label: int
    margin: float | None = None
    sketch: Floats32 | None = None


@dataclass(frozen=True, slots=True)
class Alarm:
    """What is the matter with a client's last questions, in words, and since when (seconds since 1970)."""

    code: Code
    sentence: str
    since: float


@dataclass(slots=True)
class _History:
    """A client's last questions: each with its place and the signs it gave, and what finds the next one's neighbour."""

    questions: deque[tuple[int, Asked, frozenset[Code]]] = field(default_factory=deque)
    count: int = 0
    times: Counter[bytes] = field(default_factory=Counter)
    latest: dict[bytes, tuple[int, Asked]] = field(default_factory=dict)
    signs: Counter[Code] = field(default_factory=Counter)
    alarms: dict[Code, Alarm] = field(default_factory=dict)
    sketches: Floats32 = field(default_factory=lambda: np.zeros((0, WIDTH), np.float32))


def asked_of(
    digests: Sequence[bytes],
    cells: Sequence[tuple[bytes, ...]],
    answers: Array,
    sketches: Floats32 | None = None,
) -> list[Asked]:
    """Questions with their answers.

    Args:
        digests: of ``n`` records. cells, sketches ``(n, 32)``: of each.
        answers: ``(n, classes)`` scores of any kind, or ``(n,)`` labels.
    """
    drawn: Sequence[Floats32 | None] = [None] * len(digests) if sketches is None else list(sketches)
    if answers.ndim == 1 or answers.shape[1] < 2:
        labels = answers if answers.ndim == 1 else answers.argmax(1)
        margins: Sequence[float | None] = [None] * len(labels)
    else:
        labels, top = answers.argmax(1), np.partition(answers, -2, axis=1)[:, -2:]
        margins = (top[:, 1] - top[:, 0]).tolist()
    return [Asked(*each) for each in zip(digests, cells, labels.tolist(), margins, drawn, strict=True)]


def signs_of(question: Asked, neighbour: Asked | None, times: int, strangers: bool, copy: bool) -> frozenset[Code]:
    """What one question looks like.

    Args:
        neighbour: the client's latest question about another record in one of its cells.
        times: how often this very record was among the client's last questions.
        strangers: another client asked about another record that shares half of its cells.
        copy: it is much nearer to one of the client's last questions than strangers are.
    """
    signs: set[Code] = set()
    if times == 0 and copy:
        signs.add("altered-copies")
    if times + 1 >= REPEATED:
        signs.add("averaging")
    if times == 0 and strangers:
        signs.add("shared-neighbourhoods")
    if times == 0 and neighbour is not None:
        signs.add("near-duplicates")
        changed = question.label != neighbour.label
        shrinks = (
            question.margin is not None
            and neighbour.margin is not None
            and question.margin < SHRINKS * neighbour.margin
        )
        signs |= {"boundary", "boundary-margins"} if changed else {"boundary-margins"} if shrinks else set()
    return frozenset(signs)


def limits_of(config: Watch) -> Mapping[Code, float]:
    """The share of the window above which there is an alarm, by code."""
    return {
        "near-duplicates": config.near_duplicates,
        "altered-copies": config.near_duplicates,
        "boundary": config.boundary,
        "boundary-margins": config.boundary,
        "averaging": config.repeats,
        "shared-neighbourhoods": config.near_duplicates,
    }


class Watcher:
    """Looks at every client's last questions; of the least recent clients and cells it forgets.

    It belongs to one process and is used by one thread: several gateways each see the questions that they answer. What
    it knows ends with the process, but budgets do not.

    Args:
        config: windows and limits.
        near: an altered copy is nearer than this share of the distance between strangers (``sketches.NEAR``).
        remembered: questions kept at most, over all clients; as many cells are remembered beside them.
    """

    def __init__(self, config: Watch, near: float = NEAR["cells"], remembered: int = 50_000) -> None:
        self._config = config
        self._near = near
        self._remembered = remembered
        self._count = 0
        self._clients: OrderedDict[str, _History] = OrderedDict()
        # Who asked last about what in each cell.
        self._cells: OrderedDict[bytes, tuple[str, bytes]] = OrderedDict()
        self._strangers = Strangers()

    def observe(self, client: str, questions: Sequence[Asked], now: float) -> Alarm | None:
        """Take note of questions that were answered; the alarm that they raise, the first of several.

        Args:
            now: seconds since 1970.
        """
        history = self._clients.setdefault(client, _History())
        self._clients.move_to_end(client)
        raised: Alarm | None = None
        for question in questions:
            self._note(client, history, question)
            raised = raised or self._judge(history, now)
        while self._count > self._remembered and len(self._clients) > 1:
            _, forgotten = self._clients.popitem(last=False)
            self._count -= len(forgotten.questions)
        while len(self._cells) > self._remembered:
            self._cells.popitem(last=False)
        return raised

    def alarms(self) -> dict[str, tuple[Alarm, ...]]:
        """The alarms there are now, by client."""
        return {name: tuple(one.alarms.values()) for name, one in self._clients.items() if one.alarms}

    def tier(self, client: str) -> Tier | None:
        """The tier to which an alarm lowers this client's answers; None where none does."""
        history = self._clients.get(client)
        return self._config.lower if history is not None and LOWERING & history.alarms.keys() else None

    def configure(self, config: Watch) -> None:
        """Go on by other windows and limits; alarms are judged by them from the next question on."""
        self._config = config

    def _note(self, client: str, history: _History, question: Asked) -> None:
        times = history.times[question.digest]
        earlier = [entry for entry in map(history.latest.get, question.cells) if entry is not None]
        before = [entry for entry in earlier if entry[1].digest != question.digest]
        neighbour = max(before, key=lambda entry: entry[0])[1] if before else None
        # Half of the cells with one and the same record: among everybody's questions strangers share one now and then.
        everybody = [entry for entry in map(self._cells.get, question.cells) if entry is not None]
        elsewhere = [digest for who, digest in everybody if who != client and digest != question.digest]
        strangers = any(2 * elsewhere.count(digest) >= max(2, len(question.cells)) for digest in elsewhere)
        signs = signs_of(question, neighbour, times, strangers, self._is_copy(history, question))
        question = replace(question, sketch=None)
        history.questions.append((history.count, question, signs))
        history.times[question.digest] += 1
        history.signs.update(signs)
        for cell in question.cells:
            history.latest[cell] = (history.count, question)
            self._cells[cell] = (client, question.digest)
            self._cells.move_to_end(cell)
        history.count += 1
        self._count += 1
        while len(history.questions) > self._config.window:
            self._forget(history)

    def _is_copy(self, history: _History, question: Asked) -> bool:
        """Whether it is much nearer to one of the client's last questions than strangers are."""
        if question.sketch is None:
            return False
        before = history.sketches[1 - min(COMPARED, self._config.window) :]
        nearest = distances(before, question.sketch).min(initial=np.inf)
        copy = bool(nearest < self._near * self._strangers.distance)
        history.sketches = np.concatenate([before, question.sketch[None]])
        self._strangers.add(question.sketch)
        return copy

    def _forget(self, history: _History) -> None:
        """The oldest question leaves the window, with the signs that it gave."""
        place, question, signs = history.questions.popleft()
        self._count -= 1
        history.signs.subtract(signs)
        history.times[question.digest] -= 1
        if not history.times[question.digest]:
            del history.times[question.digest]
        for cell in set(question.cells):
            if history.latest[cell][0] == place:
                del history.latest[cell]

    def _judge(self, history: _History, now: float) -> Alarm | None:
        """Raise and end alarms; the first that was raised."""
        questions = len(history.questions)
        shares = max(questions, round(LEAST * self._config.window))
        raised = []
        for code, limit in limits_of(self._config).items():
            share = history.signs[code] / shares
            if share <= CLEARED * limit:
                history.alarms.pop(code, None)
            elif share > limit and code not in history.alarms:
                sentence = SENTENCES[code].format(share=f"{history.signs[code] / questions:.0%}", asked=questions)
                history.alarms[code] = Alarm(code, sentence, now)
                raised.append(history.alarms[code])
        return raised[0] if raised else None
