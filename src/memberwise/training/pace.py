"""What candidates for a plan take on this machine: timed once, by turns, and remembered in the user's cache."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from memberwise.errors import TrainingError
from memberwise.models.network import Network
from memberwise.models.threads import cores, threads_of
from memberwise.store.files import write_atomically
from memberwise.training import steppers
from memberwise.training.equality import examined
from memberwise.training.feed import Feed
from memberwise.training.job import Job
from memberwise.training.plan import Plan
from memberwise.training.step import describe
from memberwise.training.steppers.base import make_stepper
from memberwise.training.tensors import DataTensors

# A candidate must beat the first by this much, so that noise does not choose.
MARGIN = 1.15
# One timing takes about so many seconds; candidates take turns for so long, in so many rounds at least and at most.
SHORT, SECONDS = 0.1, 5.0
FEWEST_ROUNDS, MOST_ROUNDS = 3, 8


@dataclass(frozen=True)
class PlanPace:
    """What a candidate takes on this machine.

    Attributes:
        ready: seconds until its first step, such as of compiling. step: seconds of one model's step.
    """

    plan: Plan
    ready: float
    step: float

    def seconds(self, steps: float) -> float:
        """Of so many steps, over all models."""
        return self.ready + steps * self.step


def soonest(paces: Sequence[PlanPace], steps: float) -> Plan:
    """The candidate that is done first, getting ready included; a later one must be clearly sooner than the first.

    Args:
        steps: over all models.
    """
    best = min(paces, key=lambda pace: pace.seconds(steps))
    return best.plan if best.seconds(steps) * MARGIN < paces[0].seconds(steps) else paces[0].plan


def measured(options: list[Plan], network: Network, data: DataTensors, job: Job) -> list[PlanPace]:
    """What each candidate takes, in their order.

    Candidates take turns and each counts with its fastest, as other work on the machine only ever makes it slower.
    Where a step turns out not to compile, the candidate stands for the same without.
    """
    tried = []
    for option in options:
        begun = time.perf_counter()
        plan, timed = _ready(option, network, data, job)
        tried.append((plan, time.perf_counter() - begun, timed))
    until, rounds = time.perf_counter() + SECONDS, 0
    best = [float("inf")] * len(tried)
    while rounds < FEWEST_ROUNDS or (rounds < MOST_ROUNDS and time.perf_counter() < until):
        best = [min(seconds, timed()) for seconds, (_, _, timed) in zip(best, tried, strict=True)]
        rounds += 1
    return [PlanPace(plan, ready, seconds) for (plan, ready, _), seconds in zip(tried, best, strict=True)]


def _ready(plan: Plan, network: Network, data: DataTensors, job: Job) -> tuple[Plan, Callable[[], float]]:
    """The plan that can be tried, and what times it."""
    try:
        return plan, step_timer(plan, network, data, job)
    except TrainingError:
        if not plan.compile:
            raise
        return _ready(replace(plan, compile=False), network, data, job)


def step_timer(plan: Plan, network: Network, data: DataTensors, job: Job) -> Callable[[], float]:
    """Gives, whenever called, the seconds of a step of one model: real steps on real records, optimiser included.

    Raises:
        TrainingError: the step cannot be compiled, or not rightly.
    """
    rows = job.rows[: 2 * job.recipe.batch_size]
    jobs = [replace(job, rows=rows, targets=None, init=None, seed=k) for k in range(plan.stack)]
    under = examined(plan.network(network), job, data, plan.stacked, plan.compile)
    batch, keys = next(Feed(jobs, under, data).epoch(0))
    models = make_stepper(jobs, under, plan.stacked, plan.compile)

    def timed(times: int) -> float:
        with threads_of(plan.threads):
            begun = time.perf_counter()
            for _ in range(times):
                models.step(batch, keys, 0.0)
            if under.device.type == "cuda":
                torch.cuda.synchronize()
            return (time.perf_counter() - begun) / times / plan.stack

    timed(1)
    if getattr(models, "given_up", False):
        raise TrainingError("the compiled step was given up: it trains something else")
    times = max(1, int(SHORT / max(timed(1) * plan.stack, 1e-6)))
    return lambda: timed(times)


def _code_of_steps() -> str:
    """Of what trains: what other code took tells nothing."""
    files = sorted(Path(steppers.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


class PaceMemory:
    """What candidates took earlier on this machine, in the user's cache; without a cache they are measured again."""

    def __init__(self, network: Network, data: DataTensors, job: Job, options: list[Plan]) -> None:
        about: dict[str, object] = {
            "machine": [platform.processor(), platform.machine(), cores(), torch.__version__],
            "device": torch.cuda.get_device_name() if network.device.type == "cuda" else "cpu",
            "network": [str(network.module), list(data.shape), job.recipe.batch_size, job.recipe.optimizer],
            "step": str(describe(job.step)),
            "code": _code_of_steps(),
            "options": [asdict(plan) for plan in options],
        }
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self.file, self.options = Path(home) / "memberwise" / "plans" / f"{key}.json", options

    def read(self) -> list[PlanPace] | None:
        try:
            kept = [PlanPace(Plan(**plan), *figures) for plan, *figures in json.loads(self.file.read_text())]
            usable = all(0 <= pace.seconds(1) < math.inf for pace in kept)
        except (OSError, ValueError, TypeError):
            return None
        known = len(kept) == len(self.options) and all(
            option in (pace.plan, replace(pace.plan, compile=True))
            for option, pace in zip(self.options, kept, strict=True)
        )
        return kept if usable and known else None

    def write(self, paces: Sequence[PlanPace]) -> None:
        rows = [[asdict(pace.plan), pace.ready, pace.step] for pace in paces]
        try:
            write_atomically(self.file, json.dumps(rows).encode())
        except OSError:
            return
