"""Early stopping: each model of a stack keeps the parameters with which it did best on the validation records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional

from memberwise.errors import TrainingError
from memberwise.models.network import Network, Tensors
from memberwise.training.job import Job
from memberwise.training.step import State
from memberwise.training.tensors import DataTensors
from memberwise.types.arrays import Floats, Mask

# Validation records asked at once: bounds the activations of the whole stack.
CHUNK = 1024


class EarlyStopping:
    """Watches the validation loss of each model of a stack.

    A model whose loss has not fallen below its smallest for ``patience`` epochs is frozen: whatever the stack goes on
    to compute for it is dropped, so that a model ends the same whatever it is stacked with.

    Attributes:
        frozen: ``(m,)`` models that have stopped.
        smallest: ``(m,)`` smallest validation loss so far.
    """

    def __init__(self, jobs: Sequence[Job], network: Network, data: DataTensors, stacked: bool) -> None:
        first, patience = jobs[0].validation, jobs[0].recipe.patience
        if first is None or patience is None or not len(first):
            raise TrainingError("early stopping needs validation rows and patience", where="Job.validation")
        if any(job.validation is None or not np.array_equal(job.validation, first) for job in jobs):
            raise TrainingError("models trained together are stopped by the same records", where="Job.validation")
        self.network, self.data, self.stacked, self.patience = network, data, stacked, patience
        self.rows = torch.from_numpy(first).to(network.device)
        self.frozen: Mask = np.zeros(len(jobs), bool)
        self.smallest = np.full(len(jobs), np.inf)
        self._waited = np.zeros(len(jobs), np.int64)
        self._best: tuple[Tensors, State] | None = None

    def after_epoch(self, params: Tensors, state: State) -> None:
        """Keep what is better than ever, and freeze models whose patience has run out."""
        loss = self._loss(params, state.buffers)
        if self._best is None:
            self._best = (_copy(params), State(_copy(state.buffers), _copy(state.own)))
        better = (loss < self.smallest) & ~self.frozen
        self.smallest[better] = loss[better]
        models = torch.from_numpy(better).to(self.network.device)
        kept, kept_state = self._best
        for best, now in ((kept, params), (kept_state.buffers, state.buffers), (kept_state.own, state.own)):
            for name, value in now.items():
                best[name][models] = value[models]
        self._waited = np.where(better, 0, self._waited + 1)
        self.frozen |= self._waited >= self.patience

    def best(self) -> tuple[Tensors, State]:
        """Each model's parameters and state from the epoch in which its validation loss was smallest."""
        if self._best is None:
            raise TrainingError("no epoch has passed yet")
        return self._best

    @torch.no_grad()
    def _loss(self, params: Tensors, buffers: Tensors) -> Floats:
        """``(m,)`` mean cross-entropy on the validation rows, in evaluation mode."""
        total = torch.zeros(len(self.frozen), dtype=torch.float64, device=self.network.device)
        for rows in torch.split(self.rows, CHUNK):
            logits, labels = self._answers(params, buffers, self.data.records(rows)), self.data.y[rows]
            losses = [functional.cross_entropy(answers, labels, reduction="sum") for answers in logits]
            total += torch.stack(losses)
        mean: Floats = (total / len(self.rows)).cpu().numpy()
        return mean

    def _answers(self, params: Tensors, buffers: Tensors, x: Tensor) -> Tensor:
        """``(m, n, C)`` logits in float64."""
        if self.stacked:
            answers: Tensor = vmap(lambda p, b: self.network(p, b, x, None)[0])(params, buffers)
            return answers.double()
        alone = {k: v[0] for k, v in params.items()}, {k: v[0] for k, v in buffers.items()}
        return self.network(*alone, x, None)[0].double()[None]


def _copy(tensors: Tensors) -> Tensors:
    return {name: value.detach().clone() for name, value in tensors.items()}
