"""Which records each model of a stack sees in which step, drawn from its own seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from memberwise.errors import TrainingError
from memberwise.models.network import Network
from memberwise.models.randomness import step_keys
from memberwise.training.augment import augmentation
from memberwise.training.job import Job
from memberwise.training.step import Batch
from memberwise.training.tensors import DataTensors
from memberwise.types.arrays import Ints

# Keep the draws of one purpose apart from those of another, which are made from the same seed and epoch.
_POISSON, _MEMBERS, _REFERENCE = 1, 2, 3


class Feed:
    """Batches of a stack of jobs; every tensor has the model as its first dimension.

    Where the jobs differ in their number of rows, shorter ones are padded and the padding is masked.

    Attributes:
        source: what the models train on: the data, or the jobs' own records one after the other.
        rows: ``(m, n)`` rows of the source each model trains on; ``sizes``: ``(m,)`` how many of them are real.
        targets: ``(m, n)`` class numbers or ``(m, n, classes)`` soft labels.
        per_epoch: steps in an epoch.
    """

    def __init__(self, jobs: Sequence[Job], network: Network, data: DataTensors) -> None:
        longest = max(len(job.rows) for job in jobs)
        self.jobs, self.data, self.device = jobs, data, network.device
        self.recipe, self.step = jobs[0].recipe, jobs[0].step
        self.rows = torch.from_numpy(np.stack([np.resize(job.rows, longest) for job in jobs])).to(self.device)
        self.sizes = torch.tensor([len(job.rows) for job in jobs], device=self.device)
        self.source = data
        if jobs[0].records is not None:
            self.source, first = _own_records(jobs, data, self.device)
            self.rows = self.rows + first
        self.targets = _targets(jobs, self.source, self.rows)
        self.per_epoch = self.recipe.steps_per_epoch(longest)
        steps = self.recipe.epochs * self.per_epoch
        self.keys = torch.stack([step_keys(job.seed, steps) for job in jobs]).to(self.device)
        self._augment = augmentation(self.recipe.augment, data.classes)
        if "reference" in self.step.needs and any(job.reference is None or not len(job.reference) for job in jobs):
            raise TrainingError(
                f"{type(self.step).__name__} trains with reference records, and there are none", where="Job.reference"
            )

    @property
    def mask(self) -> Tensor | None:
        """``(m, n)`` 1.0 for real rows, or None where all are."""
        places = torch.arange(self.rows.shape[1], device=self.device)
        return (places < self.sizes[:, None]).float() if bool((self.sizes < self.rows.shape[1]).any()) else None

    def epoch(self, epoch: int) -> Iterator[tuple[Batch, Tensor]]:
        """The batches of an epoch, each with the ``(m,)`` keys of its step."""
        number = torch.full((len(self.jobs),), epoch, device=self.device)
        for i, (ids, mask) in enumerate(self._poisson(epoch) if self.step.poisson else self._shuffled(epoch)):
            keys = self.keys[:, epoch * self.per_epoch + i]
            x, target = self.source.records(self.rows.gather(1, ids)), _take(self.targets, ids)
            if self._augment is not None:
                x, target = self._augment(x, target, keys, mask)
            yield Batch(x, target, ids, mask, number, self._reference(epoch, i), self._members(epoch, i)), keys

    def _shuffled(self, epoch: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """``(m, batch)`` places among a model's rows, each once an epoch."""
        longest, size = self.rows.shape[1], self.recipe.batch_size
        orders = [
            np.append(_rng(job, epoch).permutation(len(job.rows)), np.arange(len(job.rows), longest))
            for job in self.jobs
        ]
        order = torch.from_numpy(np.stack(orders)).to(self.device)
        padded = bool((self.sizes < longest).any())
        for i in range(self.per_epoch):
            ids = order[:, i * size : None if i == self.per_epoch - 1 else (i + 1) * size]
            yield ids, (ids < self.sizes[:, None]).float() if padded else None

    def _poisson(self, epoch: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Each row is in each batch with probability batch_size / rows, independently; short batches are padded."""
        for i in range(self.per_epoch):
            drawn = [
                np.flatnonzero(_rng(job, epoch, _POISSON, i).random(len(job.rows)) < self.rate(job))
                for job in self.jobs
            ]
            ids = np.zeros((len(drawn), max(1, *map(len, drawn))), np.int64)
            mask = np.zeros(ids.shape, np.float32)
            for k, chosen in enumerate(drawn):
                ids[k, : len(chosen)], mask[k, : len(chosen)] = chosen, 1.0
            yield torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)

    def rate(self, job: Job) -> float:
        """Share of a model's rows that a Poisson batch holds in the mean."""
        return min(1.0, self.recipe.batch_size / len(job.rows))

    def _reference(self, epoch: int, i: int) -> tuple[Tensor, Tensor] | None:
        """``inner`` batches of the reference role for this step: records and labels ``(m, inner, batch, ...)``."""
        if "reference" not in self.step.needs:
            return None
        orders = [_rng(job, epoch, _REFERENCE).permutation(np.asarray(job.reference)) for job in self.jobs]
        rows = torch.from_numpy(self._inner(orders, i)).to(self.device)
        return self.data.records(rows), self.data.y[rows]

    def _members(self, epoch: int, i: int) -> tuple[Tensor, Tensor] | None:
        """``inner`` further batches of a model's own rows, for a game played within the step."""
        if "members" not in self.step.needs:
            return None
        orders = [_rng(job, epoch, _MEMBERS).permutation(len(job.rows)) for job in self.jobs]
        ids = torch.from_numpy(self._inner(orders, i)).to(self.device)
        flat = ids.flatten(1)
        targets = _take(self.targets, flat)
        return self.source.records(self.rows.gather(1, flat).view(ids.shape)), targets.view(
            *ids.shape, *targets.shape[2:]
        )

    def _inner(self, orders: Sequence[Ints], i: int) -> Ints:
        """The ``i``-th ``(m, inner, batch)`` of shuffled rows, from the beginning again where they run out."""
        size = min(self.recipe.batch_size, *map(len, orders))
        places = (i * self.step.inner * size + np.arange(self.step.inner * size)).reshape(self.step.inner, size)
        return np.stack([order[places % len(order)] for order in orders])


def _rng(job: Job, *purpose: int) -> np.random.Generator:
    return np.random.default_rng([job.seed, *purpose])


def _own_records(jobs: Sequence[Job], data: DataTensors, device: torch.device) -> tuple[DataTensors, Tensor]:
    """The jobs' own records, and the ``(m, 1)`` place of each job's first."""
    parts = [job.records for job in jobs if job.records is not None]
    if len(parts) < len(jobs) or any(job.targets is None for job in jobs):
        raise TrainingError("records of a job's own come with targets, for every job of a stack", where="Job.records")
    first = np.cumsum([0, *map(len, parts[:-1])])
    unknown = np.zeros(sum(map(len, parts)), np.int64)  # the targets say
    source = DataTensors.of(np.concatenate(parts), unknown, data.classes, device)
    return source, torch.from_numpy(first).to(device)[:, None]


def _targets(jobs: Sequence[Job], data: DataTensors, rows: Tensor) -> Tensor:
    if jobs[0].targets is None:
        return data.y[rows]
    padded = [
        np.resize(job.targets, (rows.shape[1], *job.targets.shape[1:])) for job in jobs if job.targets is not None
    ]
    return torch.from_numpy(np.stack(padded)).to(rows.device)


def _take(targets: Tensor, ids: Tensor) -> Tensor:
    if targets.dim() == 2:
        return targets.gather(1, ids)
    return targets.gather(1, ids.unsqueeze(-1).expand(-1, -1, targets.shape[-1]))
