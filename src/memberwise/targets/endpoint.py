"""A served model as a target: asked over HTTP or by a function of the user's, every answer kept in the run folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from memberwise.errors import AskingError, Note, TargetError
from memberwise.models.kinds import Kind
from memberwise.study.address import shown_address
from memberwise.study.entrypoint import code_hash
from memberwise.study.target import TargetConfig
from memberwise.targets.answer_store import Answer, AnswerStore
from memberwise.targets.asking import ANSWERED, REFUSED, RETRIES, SECONDS, SENT, Asker, BudgetSpent, Coarser, Pace
from memberwise.targets.base import Records, Target
from memberwise.targets.changes import SAME, Changes, compared
from memberwise.targets.connection import CONCURRENCY, OF_FUNCTIONS, headers_of, sender_of, tokens_of
from memberwise.targets.protocols.custom import FunctionSender
from memberwise.targets.sending import HttpSender, Sender
from memberwise.targets.sent import Form, digests_of, take
from memberwise.targets.served_answers import AnswerReader, Coarseness, LabelsBy, told_kind, why_not
from memberwise.types.arrays import Array, Floats

# The kind is told by the answers about so many records.
EXAMPLES = 256
FOUND, KIND, BY, COARSER, VERSION, MODEL = "found", "kind", "labels_by", "coarser", "version", "model"


class Endpoint(Target):
    """One served model.

    Nothing is sent or written before ``begin``.

    Args:
        config: the study's ``target`` part. form: how records are sent. folder: of the answer store.
        environment: where the token is. after: from a model's kind of answers to the kind behind the server's policy;
            None where no policy is given.

    Raises:
        StudyError: the token or the headers are not there; no function of this name. MissingExtraError: no httpx2.
    """

    def __init__(
        self,
        config: TargetConfig,
        form: Form,
        folder: Path,
        environment: Mapping[str, str],
        after: Callable[[Kind], Kind] | None = None,
    ) -> None:
        self.config, self.form, self.folder, self.after = config, form, folder, after
        self.address = str(config.endpoint)
        labels = form.dataset.class_labels
        self.reader = AnswerReader(labels, config.classes, config.output)
        _ = self.reader.places  # names of classes that are none are refused now
        self.sender: Sender = sender_of(config, headers_of(config), tokens_of(config, environment))
        code = code_hash(self.sender.ask) if isinstance(self.sender, FunctionSender) else ""
        self.identity = hashlib.blake2b(f"{json.dumps(config.identity(), sort_keys=True)}{code}".encode()).digest()
        self.noticed: list[Note] = []
        self.spent: BudgetSpent | None = None
        self.described = False
        self.tell: Callable[[int], None] = lambda count: None  # records answered, each time some are
        self.mine: set[bytes] = set()  # what this process has asked, or found
        self._store: AnswerStore | None = None
        self._kind: Kind | None = None

    def __len__(self) -> int:
        return 1

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """What the answers are; known once it has begun."""
        if self._kind is None:
            raise RuntimeError("a served model is asked by begin(records) first")
        return self._kind

    @property
    def probes(self) -> int:
        """How many records are asked about again: no more than fit a request."""
        return min(self.config.probes, self.config.batch)

    @property
    def store(self) -> AnswerStore:
        if self._store is None:
            self._store = AnswerStore(self.folder)
        return self._store

    @property
    def asker(self) -> Asker:
        """What asks; before the first question the server's metadata are read."""
        if not self.described and isinstance(self.sender, HttpSender):
            self.sender.codec = codec = self.sender.codec.described(self.sender.fetch)
            known, named = codec.signature.classes, set(codec.signature.classes) == set(self.reader.labels.names)
            order = self.reader.order or (known if named else ())
            self.reader = AnswerReader(self.reader.labels, order, codec.signature.output)
            self._compare_version(codec.signature.version)
            self.store.say(MODEL, codec.model)
            self.described = True
        config = self.config
        many = OF_FUNCTIONS if config.protocol == "custom" else CONCURRENCY
        pace = Pace(config.batch, config.concurrency or many, config.retries, config.max_queries)
        return Asker(self.sender, self.store, pace, self.reader.read, self.tell)

    def fingerprint(self, example: Records) -> str:
        """Of whom is asked: nothing is asked for it."""
        return self.identity.hex()

    def predict(self, x: Records) -> Array:
        if self._kind is None:
            self.begin(x)
        return self._read(self._answers(x))[None]

    def for_labels(self) -> Target:
        """The labels of its answers, whatever these are: they stay the same where answers turn into labels."""
        return ServedLabels(self)

    def labels(self, x: Records) -> Array:
        """The ``(n,)`` class numbers that it answers about ``(n, ...)`` records."""
        return self._labels(self._answers(x))

    def begin(self, example: Records) -> None:
        """Tell the kind of answers by many records, and ask about a few of them again.

        Args:
            example: ``(n, ...)`` records that will be asked about anyway; ``EXAMPLES`` are enough.

        Raises:
            TargetError: the server does not take such records, or its answers do not fit the data.
            AskingError, BudgetSpent: it does not answer.
        """
        known = self.store.said(KIND)
        if known is None:
            example = example[:EXAMPLES]
            if self.probes:
                self._answers(example[: self.probes])  # in one request, as they are asked about again
            self._kind = self._told(self._answers(example))
            self.store.say(KIND, self._kind)
        else:
            self._kind = known  # type: ignore[assignment]
        if self.store.said("at_once") is None:
            self._probe("at_once", example)

    def finish(self, example: Records) -> None:
        """Ask about the same few records a last time, and close.

        Args:
            example: ``(n, ...)``, as ``begin`` had them.
        """
        if self.store.said("meanwhile") is None:
            self.described = False  # the version may be another
            self._probe("meanwhile", example)
        self.close()

    def close(self) -> None:
        self.sender.close()
        if self._store is not None:
            self._store.close()
            self._store = None

    def settle(self, kind: Kind) -> None:
        """From now on all answers are read as this coarser kind."""
        self.store.say(COARSER, self._kind)
        self.store.say(KIND, kind)
        self._kind = kind

    def changes(self, when: str) -> Changes | None:
        """What asking again showed, "at_once" or "meanwhile"; None where that was not done."""
        said = self.store.said(when)
        return Changes(**said) if isinstance(said, dict) and said.get("records") else None

    def _probe(self, when: str, example: Records) -> None:
        if not self.probes:
            return
        sent = self.form.of(example[: self.probes])
        digests = digests_of(sent, self.identity)
        try:
            again = self.asker.once(sent)
        except (BudgetSpent, AskingError) as error:
            if when == "at_once" and isinstance(error, AskingError):
                raise
            message = f"whether the server's answers change was not looked at again: {error.problem}"
            self.noticed.append(Note("endpoint-not-asked-again", message))
            return
        kept = self.store.find(digests)
        pairs = [(kept[digest], one) for digest, one in zip(digests, again, strict=True) if digest in kept]
        changes = compared([one for one, _ in pairs], [other for _, other in pairs])
        self.store.say(when, vars(changes))

    def _compare_version(self, version: str | None) -> None:
        before = self.store.said(VERSION)
        if version is not None and before not in (None, version):
            message = f"the server states version {version} of the model, and stated {before} when it was first asked"
            self.noticed.append(Note("endpoint-version", message))
        elif version is not None and before is None:
            self.store.say(VERSION, version)

    def _told(self, answers: Sequence[Answer]) -> Kind:
        """The kind of these answers, by the study or by what they look like."""
        stated, figures = self.config.answers, [one for one in answers if isinstance(one, np.ndarray)]
        if len(figures) < len(answers):
            if stated not in ("auto", "labels"):
                raise TargetError(
                    f"the served model answers labels, not {stated}",
                    found=f"{len(answers) - len(figures):,} of {len(answers):,} records",
                    where="target.answers",
                    fix="another output: --set target.output=NAME (predict_proba of MLServer's scikit-learn runtime)",
                )
            return "labels"
        values = np.stack(figures)
        if stated != "auto":
            wrong = why_not(stated, values)
            if wrong is not None:
                raise TargetError(f"the served model does not answer {stated}", found=wrong, where="target.answers")
            return stated
        kind = told_kind(values)
        defended = self.after is not None and self.after("probabilities") == "scores"
        return "scores" if defended else kind  # as the shadow models' behind the same policy

    def _answers(self, x: Records) -> list[Answer]:
        """The answers about ``(n, ...)`` records, in their order; what is in the store is not asked."""
        sent = self.form.of(x)
        digests = digests_of(sent, self.identity)
        first = {digest: row for row, digest in reversed(list(enumerate(digests)))}
        kept = self.store.find(list(first))
        rows = np.array(sorted(row for digest, row in first.items() if digest not in kept), np.intp)
        self.store.count(found=len(kept.keys() - self.mine))
        self.mine |= first.keys()
        if len(rows):
            try:
                self.asker.ask(lambda some: take(sent, some), rows, digests)
            except BudgetSpent as error:
                self.spent = error
                raise
            kept |= self.store.find([digests[row] for row in rows])
        return [kept[digest] for digest in digests]

    def _read(self, answers: Sequence[Answer]) -> Array:
        """Answers as ``(n, C)`` figures or ``(n,)`` class numbers, by the kind.

        Raises:
            Coarser: some are coarser than that.
        """
        labels = [one for one in answers if not isinstance(one, np.ndarray)]
        if self.kind != "labels":
            if labels:
                raise Coarser("labels")
            values: Floats = np.stack(answers) if answers else np.zeros((0, len(self.reader.labels)))
            wrong = why_not(self.kind, values)
            if wrong is None:
                return values
            if self.config.answers == "auto" and values.min() >= 0 and values.max() <= 1 + SAME:
                raise Coarser("scores")
            raise TargetError(
                f"the served model answered {self.kind} at first, and other figures later",
                found=wrong,
                where="target.endpoint",
                fix="if its answers may be so, say what they are: --set target.answers=scores or logits",
            )
        return self._labels(answers)

    def _labels(self, answers: Sequence[Answer]) -> Array:
        """Answers as ``(n,)`` class numbers."""
        labels = [one for one in answers if not isinstance(one, np.ndarray)]
        by: LabelsBy | None = self.store.said(BY)  # type: ignore[assignment]
        if labels and by is None:
            by = self.reader.named_by(labels)
            self.store.say(BY, by)
        numbers = iter(self.reader.numbers_of(labels, by or "values").tolist() if labels else ())
        return np.array(
            [int(one.argmax()) if isinstance(one, np.ndarray) else next(numbers) for one in answers], np.int64
        )

    def coarseness(self) -> tuple[Coarseness | None, int]:
        """How coarse the kept figures look, and how many answers are labels."""
        figures, labels = [], 0
        for one in self.store.answers():
            if isinstance(one, np.ndarray):
                figures.append(one)
            else:
                labels += 1
        return (Coarseness.of(np.stack(figures)) if figures else None), labels

    def counts(self) -> dict[str, float]:
        """What was counted in the life of the run folder."""
        names = (SENT, ANSWERED, RETRIES, REFUSED, SECONDS, FOUND)
        return {name: self.store.counted(name) for name in names}

    @property
    def shown(self) -> str:
        """Its address, without what may be a secret."""
        return shown_address(self.address)


class ServedLabels(Target):
    """The labels of a served model's answers."""

    kind: Kind = "labels"

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def __len__(self) -> int:
        return 1

    def predict(self, x: Records) -> Array:
        return self.endpoint.labels(x)[None]
