"""The plan: how many models train together, on how many threads. Fixed before the first block, part of its key."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

import numpy as np
import torch

from memberwise.study import PlanStudy
from memberwise.training.job import Job
from memberwise.training.loop import make_update, start
from memberwise.training.network import Network
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, Step
from memberwise.training.tensors import DataTensors

# Stacked parameters beyond this many numbers leave the processor's caches, and stacking gains nothing more.
STACKED_NUMBERS = 4_000_000
LARGEST_STACK = 16


@dataclass(frozen=True)
class Plan:
    """How models are trained on this machine: ``stack`` models at once in ``precision`` on ``threads`` threads."""

    stack: int
    precision: str
    threads: int
    stacked: bool = True

    def to_study(self) -> PlanStudy:
        return PlanStudy.model_validate({"stack": self.stack, "precision": self.precision, "threads": self.threads})


def choose_device(wanted: str) -> torch.device:
    """The device of a study: "auto" takes a CUDA device where there is one."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def make_plan(wanted: PlanStudy, network: Network, data: DataTensors, step: Step, recipe: Recipe) -> Plan:
    """The plan for a network: what the study fixes, else a rule that always gives the same plan on a machine.

    Convolutions on a CPU train one at a time: stacked they become grouped convolutions, which are slower there.
    """
    threads = wanted.threads or len(os.sched_getaffinity(0))
    obstacle = None if not step.stackable else why_not_stackable(network, data, step, recipe)
    stackable = step.stackable and obstacle is None
    if obstacle is not None:
        warnings.warn(f"shadow models train one by one: {obstacle}", stacklevel=2)
    rule = max(1, min(LARGEST_STACK, STACKED_NUMBERS // max(1, network.parameters)))
    if network.convolves and network.device.type == "cpu":
        rule = 1
    stack = (wanted.stack or rule) if stackable else 1
    return Plan(stack, wanted.precision or "float32", threads, stackable and stack > 1)


def why_not_stackable(network: Network, data: DataTensors, step: Step, recipe: Recipe) -> str | None:
    """Try one step of two stacked models on two records; the operation in the way, or None."""
    job = Job(np.arange(2), step, recipe, seed=0)
    rows = torch.zeros((2, 2), dtype=torch.long, device=network.device)
    batch = Batch(data.records(rows), data.y[rows], rows, None, torch.zeros(2, device=network.device))
    try:
        params, state = start([job, job], network)
        make_update(job, network, stacked=True)(params, state, batch, torch.zeros(2, dtype=torch.long))
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        return str(error).strip().split("\n")[0][:200]
    return None


class threads_of:
    """``with threads_of(plan.threads):`` torch uses that many threads inside."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.threads)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)
