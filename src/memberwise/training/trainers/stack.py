"""Modules of one architecture, many trained at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import torch

from memberwise.errors import Note
from memberwise.models.network import Network
from memberwise.models.processors import processor_name
from memberwise.models.threads import threads_of
from memberwise.targets.base import Target
from memberwise.targets.models import TorchModels
from memberwise.targets.user_errors import wrap_user_errors
from memberwise.training.job import Job
from memberwise.training.loop import Tick, train_stack
from memberwise.training.pace import step_timer
from memberwise.training.plan import Plan, PlanChoice
from memberwise.training.planning import WORTH_MEASURING, make_plan, operations
from memberwise.training.procedure import run_procedures
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.base import ALONE, GENERAL_PATH, Collect, Fit, TrainerFacts, joined
from memberwise.types.arrays import Arrays


class StackTrainer:
    """Modules of one architecture, ``plan.stack`` at once; a block holds whole pairs of shadow models."""

    def __init__(self, network: Network, data: DataTensors, plan: Plan, choice: PlanChoice | None = None) -> None:
        """``choice``: by what the plan was chosen; without it every worker trains by this one, on its processor."""
        self.network, self.data, self.plan = plan.network(network), data, plan
        self.choice = choice or PlanChoice(device=network.device.type)

    @property
    def notes(self) -> list[Note]:
        return [Note(GENERAL_PATH, message) for message in self.network.notes]

    def describe(self) -> TrainerFacts:
        block = self.plan.stack + self.plan.stack % 2
        return TrainerFacts(
            block=block,
            workers=1,
            by_steps=True,
            keeps_weights=True,
            threads=self.plan.threads,
            processor=processor_name(self.network.device.type),
            device=self.network.device.type,
            parameters=self.network.parameters,
            on_gpus=self.choice.device != "cpu",
        )

    def measure(self, job: Job, threads: int) -> Fit:
        """The plan is chosen as the driver chose its own, of the same precision and of a block's models at most."""
        device = "cuda" if self.choice.device != "cpu" and torch.cuda.is_available() else "cpu"
        there = self.under(replace(self.plan, threads=min(self.plan.threads, threads)), device)
        work = self.choice.work
        if operations(there.network, there.data) * work >= WORTH_MEASURING:
            same = {"precision": there.plan.precision, "threads": there.plan.threads}
            plan = make_plan(self.choice.fixed.model_copy(update=same), there.network, there.data, job, work)
            stack = min(plan.stack, self.describe().block)
            there = there.under(replace(plan, stack=stack, stacked=plan.stacked and stack > 1), device)
        taken, memory = there._gpu_bytes(job) if device == "cuda" else (0, 0)
        return Fit(processor_name(device), device, there.plan, taken, memory)

    def _gpu_bytes(self, job: Job) -> tuple[int, int]:
        """Memory of this GPU that a few steps of a stack took, the data with it; and all that there is."""
        torch.cuda.reset_peak_memory_stats()
        step_timer(self.plan, self.network, self.data, job)
        return torch.cuda.max_memory_reserved(), torch.cuda.get_device_properties(0).total_memory

    def under(self, plan: Plan, device: str) -> StackTrainer:
        place, other = torch.device(device), copy.copy(self)
        network = self.network if self.network.device.type == device else self.network.on(place)
        other.network, other.data, other.plan = plan.network(network), self.data.on(place), plan
        return other

    def train(self, jobs: Sequence[Job], tick: Tick | None = None) -> Target:
        with ALONE:
            if jobs[0].procedure is not None:
                return run_procedures(jobs, self._train_stack, self.data, self.plan.stack, tick)
            return self._train_stack(jobs, tick)

    def _train_stack(self, jobs: Sequence[Job], tick: Tick | None) -> TorchModels:
        # What a module keeps in Python (a counter, a cache) must not pass from one stack to the next.
        network = self.network.fresh(jobs[0].seed)
        with threads_of(self.plan.threads), _training(jobs[0]):
            trained = train_stack(jobs, network, self.data, self.plan.stacked, tick, self.plan.compile)
        early = [TorchModels(network, params, state.buffers, self.plan.stacked) for params, state in trained.early]
        stacked, own, traces = self.plan.stacked, trained.own, trained.traces
        return TorchModels(network, trained.params, trained.buffers, stacked, own, traces, early)

    def run(self, jobs: Sequence[Job], collect: Collect, tick: Tick | None = None) -> Arrays:
        collected = []
        for first in range(0, len(jobs), self.plan.stack):
            stack = jobs[first : first + self.plan.stack]
            share = None if tick is None else partial(_share, tick, first, len(stack), len(jobs))
            with ALONE:
                models = self.train(stack, share)
                with threads_of(self.plan.threads):
                    collected.append(collect(models, stack))
        return joined(collected)


def _training(job: Job) -> AbstractContextManager[None]:
    """Around training by a module that may be the user's own."""
    doing = f"training on {len(job.rows):,} records"
    if min(job.recipe.batch_size, len(job.rows)) > 1:
        return wrap_user_errors(doing)
    return wrap_user_errors(
        doing + " in batches of one", "training.batch_size = 2 or more: BatchNorm, for one, needs two records"
    )


def _share(tick: Tick, first: int, size: int, whole: int, share: float) -> None:
    tick((first + share * size) / whole)
