"""Ask models about records, once or with several queries, and keep only what the table of signals needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memberwise.errors import StudyError
from memberwise.signals.read import read_answers
from memberwise.signals.table import Answers
from memberwise.training.answering import Answer, Answering, Records, Served
from memberwise.training.engines import Arrays
from memberwise.training.job import Job

# Values of answers held at once while asking.
CHUNK_VALUES = 8_000_000


@dataclass(frozen=True)
class Asked:
    """What every model is asked about.

    Attributes:
        x: all records, uint8 (asked as [0, 1]) or float32; y: ``(n,)`` class numbers.
        audited, population, test: row numbers.
        background: rows (a sample, at most) on which a model's training accuracy is measured beside audited ones.
        background_weight: how many rows each of them stands for.
        queries: "none", "mirror" or "shift18".
        defences: output defences between the models and whoever asks; ``key`` is their secret.
        reference: rows of the reference role, for defences which learn.
        rng_seed: seed of what defences learn.
    """

    x: NDArray[Any]
    y: NDArray[np.int64]
    classes: int
    audited: NDArray[np.int64]
    population: NDArray[np.int64]
    test: NDArray[np.int64]
    background: NDArray[np.int64]
    background_weight: float = 1.0
    queries: str = "none"
    defences: tuple[Answer, ...] = ()
    key: bytes = b""
    reference: NDArray[np.int64] | None = None
    rng_seed: int = 0

    def records(self, rows: NDArray[np.int64]) -> Records:
        return as_float(self.x[rows])


def as_float(x: NDArray[Any]) -> Records:
    """float32 records; uint8 is scaled to [0, 1]."""
    return x.astype(np.float32) / np.float32(255.0) if x.dtype == np.uint8 else x.astype(np.float32, copy=False)


def collect(models: Answering, jobs: Sequence[Job], asked: Asked, vectors: bool) -> Arrays:
    """Everything kept of a block of models; each array's first dimension is the model.

    With ``vectors`` full answers on the audited records are kept. Keys ``audited.*`` and ``population.*`` are the
    fields of ``Answers``; ``train_accuracy``, ``test_accuracy``, ``train_loss``, ``test_loss`` are ``(m,)``.
    """
    served = serve(models, jobs, asked)
    audited = ask_about(served, asked, asked.audited, asked.queries, vectors)
    arrays = _fields("audited", audited)
    if len(asked.population):
        arrays |= _fields("population", ask_about(served, asked, asked.population, asked.queries, False))
    own = np.stack([np.isin(asked.audited, job.rows) for job in jobs])
    correct, loss = audited.correct[:, :, 0], -audited.log_p[:, :, 0]
    weights = own.astype(np.float64)
    if len(asked.background):
        beside = ask_about(served, asked, asked.background, "none", False)
        seen = np.stack([np.isin(asked.background, job.rows) for job in jobs]) * asked.background_weight
        correct = np.concatenate([correct, beside.correct[:, :, 0]], 1)
        loss, weights = np.concatenate([loss, -beside.log_p[:, :, 0]], 1), np.concatenate([weights, seen], 1)
    test = ask_about(served, asked, asked.test, "none", False)
    unseen = np.stack([~np.isin(asked.test, job.rows) for job in jobs])
    return arrays | {
        "train_accuracy": (correct * weights).sum(1) / weights.sum(1),
        "train_loss": (loss.astype(np.float64) * weights).sum(1) / weights.sum(1),
        "test_accuracy": (test.correct[:, :, 0] * unseen).sum(1) / unseen.sum(1).clip(1),
        "test_loss": -(test.log_p[:, :, 0].astype(np.float64) * unseen).sum(1) / unseen.sum(1).clip(1),
        "saturated": np.full(len(models), audited.saturated),
        "kind": np.full(len(models), served.kind),
    }


def serve(models: Answering, jobs: Sequence[Job], asked: Asked) -> Answering:
    """The models behind the study's output defences, each fitted on these models' own members."""
    if not asked.defences:
        return models
    states: list[Any] = []
    for number, defence in enumerate(asked.defences):
        ask = Served(models, asked.defences[:number], states, asked.key).ask
        reference = None if asked.reference is None else asked.records(asked.reference)
        rng = np.random.default_rng([asked.rng_seed, number])
        states.append(defence.fit(ask, asked.records(jobs[0].rows), reference, rng))
    return Served(models, asked.defences, states, asked.key)


def ask_about(models: Answering, asked: Asked, rows: NDArray[np.int64], queries: str, vectors: bool) -> Answers:
    """``Answers`` of the models about rows, in chunks of records so that memory stays bounded."""
    views = query_views(queries)
    per_record = len(models) * len(views) * asked.classes
    step = max(1, CHUNK_VALUES // per_record)
    parts = []
    for first in range(0, len(rows), step):
        chunk = rows[first : first + step]
        x = asked.records(chunk)
        raw = np.stack([models.ask(np.ascontiguousarray(view(x))) for view in views], axis=2)
        parts.append(read_answers(raw, asked.y[chunk], models.kind, None if vectors else 0))
    return join_records(parts)


def join_records(parts: Sequence[Answers]) -> Answers:
    """Answers about consecutive chunks of records, as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    vectors = None if first.vectors is None else np.concatenate([p.vectors for p in parts if p.vectors is not None], 1)
    records = sum(p.records for p in parts)
    return Answers(
        np.concatenate([p.log_p for p in parts], 1),
        np.concatenate([p.log_1mp for p in parts], 1),
        np.concatenate([p.correct for p in parts], 1),
        vectors,
        first.kind,
        saturated=sum(p.saturated * p.records for p in parts) / records,
    )


View = Callable[[Records], Records]


def query_views(queries: str) -> list[View]:
    """The queries about a record: itself first, then its augmentations (images only).

    "mirror": the record and its left-right mirror image. "shift18": both, each shifted by at most one pixel in both
    directions after reflect padding (Carlini et al. 2022, the release's 18 queries).

    Raises:
        StudyError: unknown name.
    """
    if queries == "none":
        return [lambda x: x]
    if queries == "mirror":
        return [lambda x: x, lambda x: x[..., ::-1]]
    if queries == "shift18":
        shifts = sorted(((v, h) for v in (0, 1, 2) for h in (0, 1, 2)), key=lambda s: abs(s[0] - 1) + abs(s[1] - 1))
        return [_shifted(v, h, mirrored) for mirrored in (False, True) for v, h in shifts]
    raise StudyError(f"unknown queries {queries}", expected="none, mirror or shift18", where="queries")


def _shifted(down: int, right: int, mirrored: bool) -> View:
    def view(x: Records) -> Records:
        height, width = x.shape[-2:]
        around = [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)]
        moved = np.pad(x, around, mode="reflect")[..., down : down + height, right : right + width]
        return moved[..., ::-1] if mirrored else moved

    return view


def _fields(prefix: str, answers: Answers) -> Arrays:
    arrays: Arrays = {
        f"{prefix}.log_p": answers.log_p,
        f"{prefix}.log_1mp": answers.log_1mp,
        f"{prefix}.correct": answers.correct,
    }
    return arrays if answers.vectors is None else arrays | {f"{prefix}.vectors": answers.vectors}
