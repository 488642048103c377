"""Run the procedures of many models side by side, so that one stage of all of them is trained as one stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from memberwise.errors import TrainingError
from memberwise.models.network import TINY
from memberwise.targets.ensembles import Ensembles
from memberwise.targets.models import TorchModels
from memberwise.training.job import Ensemble, Game, Job, Procedure, Trained
from memberwise.training.loop import Tick
from memberwise.training.tensors import DataTensors
from memberwise.types.arrays import Floats32, Ints

# Rows asked at once.
CHUNK = 4096
TrainStage = Callable[[Sequence[Job], Tick | None], TorchModels]


class TrainedModel:
    """One model of a stack that was trained in a stage (see ``training.job.Trained``)."""

    def __init__(self, stack: TorchModels, place: int, data: DataTensors) -> None:
        params = {name: value[place : place + 1] for name, value in stack.params.items()}
        buffers = {name: value[place : place + 1] for name, value in stack.buffers.items()}
        tensors = {name: value[place : place + 1] for name, value in stack.own.items()}
        self.alone, self.data = TorchModels(stack.network, params, buffers, stack.stacked, tensors), data

    @property
    def params(self) -> dict[str, Floats32]:
        constant = self.alone.network.constant
        frozen = {name: value for name, value in self.alone.buffers.items() if name in constant}
        return {name: value[0].float().cpu().numpy() for name, value in (self.alone.params | frozen).items()}

    @property
    def own(self) -> dict[str, Floats32]:
        return {name: value[0].float().cpu().numpy() for name, value in self.alone.own.items()}

    def labels(self, rows: Ints) -> Ints:
        """The ``(n,)`` class numbers of these rows."""
        labels: Ints = self.data.y[torch.from_numpy(rows).to(self.data.y.device)].cpu().numpy()
        return labels

    def logits(self, rows: Ints) -> Floats32:
        """The model's ``(n, C)`` logits of ``(n,)`` rows."""
        queries = rows if len(rows) else np.zeros(1, np.int64)  # not every module takes no records at all
        parts = []
        for first in range(0, len(queries), CHUNK):
            x = self.data.records(torch.from_numpy(queries[first : first + CHUNK]).to(self.data.x.device))
            answers = self.alone.predict(x.cpu().numpy())[0]
            parts.append(answers if self.alone.kind == "logits" else np.log(np.maximum(answers, TINY)))
        joined: Floats32 = np.concatenate(parts)[: len(rows)].astype(np.float32)
        return joined


def run_procedures(
    jobs: Sequence[Job], train: TrainStage, data: DataTensors, most: int, tick: Tick | None = None
) -> TorchModels | Ensembles:
    """The released models of jobs whose procedures run side by side.

    Args:
        train: trains a stage's jobs as one stack.
        most: models in one stack; a stage with more is trained in several.

    Raises:
        TrainingError: the procedures do not take the same stages.
    """
    running = [_procedure(job).fit(job) for job in jobs]
    stages, released = 0, list[Trained | Ensemble]()
    requests: list[list[Job]] = [next(game) for game in running]
    while not released:
        queue = [job for part in requests for job in part]
        made: list[Trained] = []
        for first in range(0, len(queue), most):
            stack = train(queue[first : first + most], None)
            made += [TrainedModel(stack, place, data) for place in range(len(stack))]
        stages += 1
        if tick is not None:
            tick(1 - 0.5**stages)  # how many stages there will be is the procedure's secret
        requests, released = _next_stage(running, requests, made)
    if tick is not None:
        tick(1.0)
    return _joined(released)


def _procedure(job: Job) -> Procedure:
    if job.procedure is None:
        raise ValueError("this job has no procedure")
    return job.procedure


def _next_stage(
    running: Sequence[Game], requests: Sequence[list[Job]], made: Sequence[Trained]
) -> tuple[list[list[Job]], list[Trained | Ensemble]]:
    """Send each procedure the models it asked for: what all ask for next, or what all release."""
    following: list[list[Job]] = []
    released: list[Trained | Ensemble] = []
    first = 0
    for game, part in zip(running, requests, strict=True):
        try:
            following.append(game.send(list(made[first : first + len(part)])))
        except StopIteration as end:
            released.append(end.value)
        first += len(part)
    if following and released:
        raise TrainingError(
            "a training procedure ends for some models while it goes on for others",
            expected="as many stages for every model",
            where="training.defence",
        )
    return following, released


def _joined(released: Sequence[Trained | Ensemble]) -> TorchModels | Ensembles:
    """Models of any stacks, or ensembles of equally many, as one stack."""
    sizes = {len(one.worlds) if isinstance(one, Ensemble) else None for one in released}
    if len(sizes) > 1:
        raise TrainingError("a training procedure releases ensembles of different sizes", where="training.defence")
    size = sizes.pop()
    stack = _stacked([world for one in released for world in (one.worlds if isinstance(one, Ensemble) else (one,))])
    return stack if size is None else Ensembles(stack, size)


def _stacked(models: Sequence[Trained]) -> TorchModels:
    alone = [model.alone for model in models if isinstance(model, TrainedModel)]
    if len(alone) != len(models):
        raise TrainingError("a training procedure releases one of the models it was sent", where="training.defence")
    first = alone[0]
    params = {name: torch.cat([model.params[name] for model in alone]) for name in first.params}
    buffers = {name: torch.cat([model.buffers[name] for model in alone]) for name in first.buffers}
    return TorchModels(first.network, params, buffers, first.stacked)
