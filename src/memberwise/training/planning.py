"""Which plan is made: candidates by what a network is, the soonest of them by what they take on this machine."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import vmap

from memberwise.models.layer_kinds import BATCH_NORMS, INSTANCE_NORMS
from memberwise.models.network import Network, Tensors
from memberwise.models.threads import cores
from memberwise.study.schema import PlanConfig
from memberwise.training.equality import examined, why_not_the_same
from memberwise.training.feed import Feed
from memberwise.training.job import Job
from memberwise.training.pace import PaceMemory, measured, soonest
from memberwise.training.plan import Plan
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
WORTH_MEASURING = 1e12
# So many dense models may stay in a CPU's cache.
IN_CACHE = (4, 8)
# Compiling takes some 10 seconds; with less to do it could not earn them back.
WORTH_COMPILING = 1e13


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
    remembered = PaceMemory(network, data, job, options)
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


def _filled(plan: Plan, config: PlanConfig) -> Plan:
    """A candidate with what the study fixes put in."""
    plan = replace(plan, **config.model_dump(exclude_none=True))
    return replace(plan, stacked=plan.stacked and plan.stack > 1) if plan.stacked else replace(plan, stack=1)
