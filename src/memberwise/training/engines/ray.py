"""The engine of a Ray cluster: blocks as tasks, wherever there is room; data on each node once, in its object store."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from memberwise.errors import MemberwiseError, Note
from memberwise.models.processors import processor_name
from memberwise.study.engine import EngineConfig, RayConfig
from memberwise.training.engines.base import PROCESSOR, Block, BlockTick, Collection, Done, run_block
from memberwise.training.engines.lanes import Lane, Node, Terms, check_room, gpu_share, lanes_of, with_share
from memberwise.training.engines.parcel import Letter, open_parcel
from memberwise.training.engines.rates import Rates, status_line
from memberwise.training.engines.ray_cluster import connect, connected, first_line
from memberwise.training.engines.tries import Tries
from memberwise.training.job import Job
from memberwise.training.trainers.base import Fit, Trainer
from memberwise.types.arrays import Array, Arrays

# Seconds between two looks at what is under way.
LOOK = 1.0
# So many seconds are waited for workers to say what they are, and how they train; then the driver's plan stands.
ASK = 120.0
# Results under way may fill this share of the cluster's object stores.
STORE_SHARE = 0.5


def run_task(letter: Letter, terms: Terms, block: Block, *arrays: Array) -> Arrays:
    """What a worker does: all its arguments but the block are mapped from its node's object store."""
    trainer, collection = open_parcel(letter, arrays, _worker_name())
    return run_block(terms.of(trainer), collection, block)


def processor_task() -> str:
    """The name of this worker's CPU."""
    return processor_name("cpu")


def measure_task(letter: Letter, job: Job, threads: int, *arrays: Array) -> Fit:
    """How the trainer does on this worker."""
    trainer, _ = open_parcel(letter, arrays, _worker_name())
    fit: Fit = trainer.measure(job, threads)
    return fit


def call_task(letter: Letter, *arrays: Array) -> tuple[str, Any]:
    """Call a function that was sent, with its arguments; the worker's processor stands beside what it gives."""
    function, *arguments = open_parcel(letter, arrays, _worker_name())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return processor_name(device), function(*arguments)


def _worker_name() -> str:
    return f"worker on node {platform.node()}"


@dataclass(frozen=True)
class _UnderWay:
    block: Block
    lane: int
    gpus: float


class RayEngine:
    """As many blocks under way as the cluster has room for, and one that waits; lost ones are tried again."""

    def __init__(self, trainer: Trainer, collection: Collection, tick: BlockTick, config: EngineConfig) -> None:
        self.config, self.tick, self.tries = config.ray, tick, Tries(config.tries)
        self.trainer, self.facts = trainer, trainer.describe()
        self.cluster = connect(self.config)
        self.under_way: dict[Any, _UnderWay] = {}
        self.rates, self.block_bytes, self.remarks = Rates(), 0, list[Note]()
        self.seen: tuple[float, list[Node]] = (-LOOK, [])
        self.terms: list[Any] = []  # of each lane, once its workers were asked
        try:
            self.lanes = lanes_of(self.facts, self.config, self.nodes)
            check_room(self.lanes, self.nodes)
            self.sent = self.cluster.send((trainer, collection))
        except BaseException:
            self.cluster.close()
            raise

    @property
    def nodes(self) -> list[Node]:
        """Those that are alive, looked at now and then."""
        if time.monotonic() - self.seen[0] >= LOOK:
            self.seen = time.monotonic(), self.cluster.nodes()
        return self.seen[1]

    @property
    def in_flight(self) -> int:
        if self.config.in_flight is not None:
            return self.config.in_flight
        most = self._places() + 1
        if self.block_bytes:
            room = STORE_SHARE * sum(node.get("object_store_memory", 0.0) for node in self.nodes)
            most = min(most, int(room / self.block_bytes))
        return max(1, most)

    @property
    def notes(self) -> list[Note]:
        return [*self.remarks, *self.tries.notes]

    @property
    def status(self) -> str:
        nodes, places = len(self.nodes), self._places()
        workers = f"{places} worker{'s' * (places != 1)} on {nodes} node{'s' * (nodes != 1)}"
        return status_line(workers, len(self.under_way), self.rates, self.tries.reasons)

    def submit(self, block: Block) -> Iterator[Done]:
        if not self.terms:
            self._settle(block.jobs[0])
        while len(self.under_way) >= self.in_flight:
            yield from self._finished(LOOK)
        self._begin(block)
        yield from self._finished(0.0)

    def drain(self) -> Iterator[Done]:
        while self.under_way:
            yield from self._finished(LOOK)

    def close(self) -> list[Done]:
        done: list[Done] = []
        try:
            with contextlib.suppress(Exception):  # the cluster may be what is lost
                for reference in self._ready(0.0):
                    block = self.under_way.pop(reference).block
                    with contextlib.suppress(Exception):  # it failed: the run ends anyway
                        done.append((block, self._fetch(reference)))
                for reference in self.under_way:
                    self.cluster.ray.cancel(reference, force=True)
        finally:
            self.under_way.clear()
            self.seen = float("inf"), self.seen[1]  # nobody is asked any more: ``status`` may still be
            self.cluster.close()
        return done

    def _places(self) -> int:
        return sum(lane.places(self.nodes) for lane in self.lanes)

    def _settle(self, job: Job) -> None:
        """Measure the plan on a worker of each kind that is not the driver's, and what of a GPU a block takes."""
        for number, lane in enumerate(self.lanes):
            fits = self._fits(lane, job)
            plans = {fit.processor: fit.plan for fit in fits if fit.processor != self.facts.processor}
            if lane.device == "cuda" and self.config.gpus is None and fits:
                share = max(map(gpu_share, fits))
                self.lanes[number] = with_share(lane, share, self.facts, self.config, self.nodes)
            self.terms.append(self.cluster.ray.put(Terms(lane.device, self.lanes[number].threads, plans)))

    def _fits(self, lane: Lane, job: Job) -> list[Fit]:
        """Of a worker of each kind in the lane; none of those that do not answer in time."""
        if lane.device == "cuda":
            places: list[dict[str, Any]] = [replace(lane, gpus=1.0).options]
        elif self.config.address is None and self.cluster.ours:  # this machine's own
            return []
        else:
            places = [lane.options | self.cluster.on_node(node) for node in self._other_kinds(lane)]
        task = self.cluster.ray.remote(max_retries=0)(measure_task)
        asked = [
            task.options(**place).remote(self.sent.letter, job, lane.threads, *self.sent.arrays) for place in places
        ]
        fits = []
        for reference in self.cluster.within(asked, ASK):
            try:
                fits.append(self.cluster.ray.get(reference))
            except self.cluster.ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, MemberwiseError):
                    raise error.cause from error
            except self.cluster.ray.exceptions.RayError:
                continue  # lost: the driver's plan stands
        if lane.device == "cuda" and any(fit.device == "cpu" for fit in fits):
            self.remarks.append(
                Note("gpu-not-used", "workers have GPUs which their torch cannot use: models train on CPUs")
            )
        return fits

    def _other_kinds(self, lane: Lane) -> list[str]:
        """A node with room for a block for each processor that is not the driver's."""
        nodes = [node["NodeID"] for node in self.cluster.alive() if lane.places([node["Resources"]])]
        task = self.cluster.ray.remote(num_cpus=0, max_retries=0)(processor_task)
        asked = {task.options(**self.cluster.on_node(node)).remote(): node for node in nodes}
        kinds: dict[str, str] = {}
        for reference in self.cluster.within(list(asked), ASK):
            with contextlib.suppress(self.cluster.ray.exceptions.RayError):
                kinds.setdefault(self.cluster.ray.get(reference), asked[reference])
        return [node for name, node in kinds.items() if name != self.facts.processor]

    def _begin(self, block: Block) -> None:
        """Where most places are free."""
        taken = [sum(one.lane == number for one in self.under_way.values()) for number in range(len(self.lanes))]
        free = [lane.places(self.nodes) - busy for lane, busy in zip(self.lanes, taken, strict=True)]
        number = free.index(max(free))
        # Ray's own retries would hide what was lost.
        task = self.cluster.ray.remote(max_retries=0)(run_task).options(**self.lanes[number].options)
        reference = task.remote(self.sent.letter, self.terms[number], block, *self.sent.arrays)
        self.under_way[reference] = _UnderWay(block, number, self.lanes[number].gpus)

    def _ready(self, seconds: float) -> list[Any]:
        """Tasks that have ended, within so many seconds."""
        references = list(self.under_way)
        if not references:
            return []
        ready, _ = self.cluster.ray.wait(references, num_returns=1, timeout=seconds, fetch_local=False)
        if ready:  # and all others that are
            ready, _ = self.cluster.ray.wait(references, num_returns=len(references), timeout=0, fetch_local=False)
        return list(ready)

    def _finished(self, seconds: float) -> Iterator[Done]:
        ready = self._ready(seconds)
        for reference in ready:
            one = self.under_way.pop(reference)
            try:
                arrays = self._fetch(reference)
            except Exception as error:
                self._again(one, error)
                continue
            self.rates.count(str(arrays[PROCESSOR][0]), len(one.block))
            self.block_bytes = max(self.block_bytes, sum(array.nbytes for array in arrays.values()))
            yield one.block, arrays
        for under_way in list(self.under_way.values())[:1]:
            self.tick(under_way.block, 0.0)

    def _fetch(self, reference: Any) -> Arrays:
        """A copy of a result, so that the object store lets go of it."""
        return {name: np.array(array) for name, array in self.cluster.ray.get(reference).items()}

    def _again(self, one: _UnderWay, error: Exception) -> None:
        """Raises:
        MemberwiseError: it was tried often enough. torch.OutOfMemoryError: where a block has a GPU to itself, so that
            a smaller stack is tried.
        """
        exceptions = self.cluster.ray.exceptions
        reason, cause = f"{type(error).__name__}: {first_line(error)}", error
        if isinstance(error, exceptions.RayTaskError):
            cause = error.cause or error
            reason = f"{type(cause).__name__}: {first_line(cause)}"
        elif isinstance(error, exceptions.RayError):
            reason = f"its worker was lost ({type(error).__name__})"
        if isinstance(cause, torch.OutOfMemoryError):
            self._widen(one, cause)
            self.tries.tell(one.block, f"{reason} on {one.gpus:.3g} of a GPU")
        else:
            self.tries.again(one.block, reason, cause)
        self._begin(one.block)

    def _widen(self, one: _UnderWay, error: torch.OutOfMemoryError) -> None:
        """Blocks get twice the share of a GPU that this one had, which is no try of its own.

        Raises:
            torch.OutOfMemoryError: it has one to itself, or as the study says.
        """
        if not 0 < one.gpus < 1 or self.config.gpus is not None:
            raise error
        lane, share = self.lanes[one.lane], min(1.0, 2 * one.gpus)
        if share > lane.gpus:
            self.lanes[one.lane] = with_share(lane, share, self.facts, self.config, self.nodes)


def call_on_each_kind(config: RayConfig, function: Callable[..., Any], *arguments: object) -> list[KindOfWorker]:
    """Call a function on one worker of each kind of node, side by side, with the cluster otherwise idle."""
    with connected(config) as cluster:
        sent = cluster.send((function, *arguments))
        kinds: dict[tuple[object, ...], list[dict[str, Any]]] = {}
        for node in cluster.alive():
            if node["Resources"].get("CPU"):
                kinds.setdefault(_kind(node["Resources"]), []).append(node)
        tasks = []
        for nodes in kinds.values():
            gpus = min(1.0, nodes[0]["Resources"].get("GPU", 0.0))
            where = cluster.on_node(nodes[0]["NodeID"])
            task = cluster.ray.remote(num_cpus=1, num_gpus=gpus, max_retries=1, **where)(call_task)
            tasks.append(task.remote(sent.letter, *sent.arrays))
        results = cluster.ray.get(tasks)
        resources = [[dict(node["Resources"]) for node in nodes] for nodes in kinds.values()]
    pairs = zip(results, resources, strict=True)
    return [KindOfWorker(processor, nodes, value, sent.nbytes) for (processor, value), nodes in pairs]


@dataclass(frozen=True)
class KindOfWorker:
    """Nodes of one kind.

    Attributes:
        nodes: resources of each. value: what the function gave on one of them. nbytes: what it was sent.
    """

    processor: str
    nodes: list[dict[str, float]]
    value: Any
    nbytes: int


def _kind(resources: dict[str, float]) -> tuple[object, ...]:
    accelerators = sorted(name for name in resources if name.startswith("accelerator_type:"))
    return (*accelerators, resources.get("CPU"), resources.get("GPU", 0.0))
