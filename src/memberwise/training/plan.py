"""The plan: how models are trained on this machine, measured once, fixed before the first block, part of its key."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import vmap

from memberwise.errors import StudyError, TrainingError
from memberwise.models.layer_kinds import BATCH_NORMS, INSTANCE_NORMS
from memberwise.models.network import Network, Tensors
from memberwise.models.threads import cores, threads_of
from memberwise.store.files import write_atomically
from memberwise.study.schema import PlanConfig
from memberwise.training.equality import examined, why_not_the_same
from memberwise.training.feed import Feed
from memberwise.training.job import Job
from memberwise.training.step import describe
from memberwise.training.steppers.base import make_stepper
from memberwise.training.steppers.conv_compiled import gains_compiled
from memberwise.training.steppers.dense_compiled import can_compile, takes_compiled
from memberwise.training.tensors import DataTensors

# Layers whose arithmetic is known from their shapes; normalisation has next to none.
COUNTED = (
    nn.Linear,
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.LayerNorm, nn.GroupNorm, *BATCH_NORMS, *INSTANCE_NORMS),
)
# Stacked parameters, gradients and optimiser state may take this much memory.
STACK_BYTES = {"cpu": 512_000_000, "cuda": 8_000_000_000}
# Below this much arithmetic in all, measuring would cost more than it could save.
WORTH_MEASURING = 4e12
# So many dense models may stay in a CPU's cache.
IN_CACHE = (4, 8)
# Compiling takes some 10 seconds; with less to do it could not earn them back.
WORTH_COMPILING = 1e13
# A candidate must beat the first by this much, so that noise does not choose.
MARGIN = 1.15
# One timing takes about so many seconds; candidates take turns for so long, in so many rounds at least and at most.
SHORT, SECONDS = 0.1, 5.0
FEWEST_ROUNDS, MOST_ROUNDS = 3, 8


@dataclass(frozen=True)
class Plan:
    """How models are trained: ``stack`` at once, in ``precision`` and ``memory_format``, on ``threads`` threads.

    ``compile``: their step is compiled, where a compiled one is built for it.
    """

    stack: int
    precision: str = "float32"
    threads: int = 1
    memory_format: str = "contiguous"
    compile: bool = False
    stacked: bool = True

    def to_study(self) -> PlanConfig:
        return PlanConfig.model_validate({k: v for k, v in asdict(self).items() if k != "stacked"})

    def of_target(self) -> Plan:
        """The target's: in float32 and not compiled, so that how many shadow models there are leaves it as it is."""
        return replace(self, precision="float32", memory_format="contiguous", compile=False)

    def network(self, network: Network) -> Network:
        """The network as this plan trains it."""
        layout = torch.channels_last if self.memory_format == "channels_last" else torch.contiguous_format
        return network.computing(getattr(torch, self.precision), layout)


@dataclass(frozen=True)
class PlanChoice:
    """By what a plan is chosen, so that it can be chosen again on another kind of worker.

    Attributes:
        fixed: what the study says of it. work: models x records x epochs. device: as in ``run.device``.
    """

    fixed: PlanConfig = field(default_factory=PlanConfig)
    work: float = 0.0
    device: str = "cpu"


def choose_device(name: str) -> torch.device:
    """The device of a study: "auto" takes a CUDA device where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise StudyError("there is no CUDA device here", where="run.device", fix="--device auto or cpu")
    return torch.device(name)


def make_plan(config: PlanConfig, network: Network, data: DataTensors, job: Job, work: float = 0.0) -> Plan:
    """The plan for a network: what the study fixes; else the soonest done of at most three candidates, measured.

    What was measured is remembered for the machine and the network, so that the same study gets the same plan again.
    Where ``work`` (models x records x epochs) is small, or the study fixes the stack, nothing is measured.

    Warns:
        UserWarning: the module cannot be stacked; the message names the operation in the way.
    """
    threads = config.threads or cores()
    obstacle = why_not_stackable(network, data, job) if job.step.stackable else "the training step says so"
    plans = candidates(network, threads, obstacle is None)
    if obstacle is None and (plans[0].stacked or (config.stack or 1) > 1):
        reason = why_not_the_same(network, job, data, stacked=True)
        if reason is not None:
            obstacle = f"stacked they are another function ({reason})"
            plans = candidates(network, threads, stackable=False)
    if obstacle is not None:
        warnings.warn(f"shadow models train one by one: {obstacle}", stacklevel=2)
    flops = operations(network, data) * work
    if (config.stack or 1) > 1 and obstacle is None and not plans[0].stacked:
        plans = [Plan(2, "float32", threads)]  # not what is fast here, but what the study asks for
    if flops >= WORTH_COMPILING and can_compile(network.device):
        plans = with_compiled(plans, examined(network, job, data, plans[-1].stacked, compiled=True), job, flops)
    options = list(dict.fromkeys(_filled(plan, config) for plan in plans))
    if len(options) == 1 or flops < WORTH_MEASURING:
        return options[0]
    remembered = _Memory(network, data, job, options)
    paces = remembered.read()
    if paces is None:
        paces = measured(options, network, data, job)
        remembered.write(paces)
    return soonest(paces, work / job.recipe.batch_size)


def operations(network: Network, data: DataTensors) -> float:
    """Floating-point operations of training on one record: three forward passes, at least six a weight.

    A convolution uses its weights at every place, so that counting weights would take its training for nothing. Of
    torch's usual layers they are counted from their shapes: torch's own counter imports torch's compiler.
    """
    params, buffers = network.init(0)
    first = data.records(torch.zeros(1, dtype=torch.long, device=data.x.device))
    weighted = [part for part in network.module.modules() if any(True for _ in part.parameters(recurse=False))]
    with torch.no_grad():
        if all(isinstance(part, COUNTED) for part in weighted):
            forward = _products(network, weighted, params, buffers, first)
        else:
            from torch.utils.flop_counter import FlopCounterMode

            with FlopCounterMode(display=False) as counter:
                network(params, buffers, first, None)
            forward = counter.get_total_flops()
    return float(max(3 * forward, 6 * network.parameters))


def _products(network: Network, parts: Sequence[nn.Module], params: Tensors, buffers: Tensors, records: Tensor) -> int:
    """Products and sums of a forward pass: two for each weight and place at which a layer uses it."""
    count = 0

    def add(part: nn.Module, _: object, answer: Tensor) -> None:
        nonlocal count
        if isinstance(part, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            count += 2 * answer.numel() * math.prod(part.weight.shape[1:])

    hooks = [part.register_forward_hook(add) for part in parts]
    try:
        network(params, buffers, records, None)
    finally:
        for hook in hooks:
            hook.remove()
    return count


def candidates(network: Network, threads: int, stackable: bool) -> list[Plan]:
    """At most three plans worth trying, the safest first.

    Fully connected networks stack well, best in bfloat16 where the processor multiplies it. Convolutions on a CPU
    gain from bfloat16 with channels last, one model at a time: stacked they become grouped convolutions.
    """
    one = Plan(1, "float32", threads, stacked=False)
    if network.convolves and network.device.type == "cpu":
        fast = Plan(1, "bfloat16", threads, "channels_last", stacked=False)
        return [one, fast] if multiplies_bfloat16(network.device) else [one]
    if not stackable:
        return [one]
    size = max(1, STACK_BYTES[network.device.type] // (16 * max(1, network.parameters)))
    largest = min(16 if network.device.type == "cpu" else 64, size)
    if largest == 1:
        return [one]
    plans = [Plan(largest, "float32", threads)]
    if multiplies_bfloat16(network.device):
        plans.append(Plan(largest, "bfloat16", threads))
    return plans


def with_compiled(plans: list[Plan], network: Network, job: Job, work: float) -> list[Plan]:
    """At most three plans again, some of which compile the step where that can gain.

    A compiled dense step is bound by memory, so that a stack which stays in the cache is sometimes faster (measured:
    stacks of 8 at batch 64, of 4 at batch 256).

    Args:
        work: floating-point operations of the whole training.
    """
    first, last = plans[0], plans[-1]
    if last.stacked and takes_compiled(job, network):
        worth = IN_CACHE if network.device.type == "cpu" else (last.stack,)
        sizes = dict.fromkeys(min(size, last.stack) for size in worth)
        return [first, *(replace(last, stack=size, compile=True) for size in sizes)]
    if not last.stacked and gains_compiled(job, network, work):
        return [*plans, replace(last, compile=True)]
    return plans


def multiplies_bfloat16(device: torch.device) -> bool:
    """The processor has instructions for bfloat16 products."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Private names; without them float32 is kept, which every processor has.
    checks = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(check() for check in checks if check is not None)


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


def why_not_stackable(network: Network, data: DataTensors, job: Job) -> str | None:
    """Try to train and ask two stacked models on two records; the operation in the way, or None."""
    tiny = replace(job, rows=job.rows[:2], targets=None, init=None, seed=0)
    trial = Network(network.make, network.device)  # of its own: tensors that a module keeps would be of no use later
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # vmap's own, about operations that it loops over
            batch, keys = next(Feed([tiny, tiny], trial, data).epoch(0))
            models = make_stepper([tiny, tiny], trial, stacked=True)
            for _ in range(2):
                models.step(batch, keys, 0.0)
            with torch.no_grad():
                vmap(lambda p, b: trial(p, b, batch.x[0], None)[0])(models.params, models.state.buffers)
    except Exception as error:  # a module's own mistakes come again when it trains alone
        return str(error).strip().split("\n")[0][:200] or type(error).__name__
    return None


class _Memory:
    """What candidates took earlier on this machine, in the user's cache; without a cache they are measured again."""

    def __init__(self, network: Network, data: DataTensors, job: Job, options: list[Plan]) -> None:
        about: dict[str, object] = {
            "machine": [platform.processor(), platform.machine(), cores(), torch.__version__],
            "device": torch.cuda.get_device_name() if network.device.type == "cuda" else "cpu",
            "network": [str(network.module), list(data.shape), job.recipe.batch_size, job.recipe.optimizer],
            "step": str(describe(job.step)),
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


def _filled(plan: Plan, config: PlanConfig) -> Plan:
    """A candidate with what the study fixes put in."""
    plan = replace(plan, **config.model_dump(exclude_none=True))
    return replace(plan, stacked=plan.stacked and plan.stack > 1) if plan.stacked else replace(plan, stack=1)
