"""The engine of a Ray cluster: blocks as tasks, wherever there is room; data on each node once, in its object store."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from memberwise.errors import MissingExtraError, Note, StudyError, TrainingError
from memberwise.models.threads import cores
from memberwise.study.engine import EngineConfig, RayConfig
from memberwise.training.engines.base import PROCESSOR, Block, BlockTick, Collection, Done, run_block
from memberwise.training.engines.parcel import Letter, open_parcel, pack
from memberwise.training.engines.tries import Tries
from memberwise.training.trainers.base import Trainer
from memberwise.types.arrays import Array, Arrays

# Seconds between two looks at what is under way.
LOOK = 1.0
# Results under way may fill this share of the cluster's object stores.
STORE_SHARE = 0.5
MILLION = 10**6


def run_task(letter: Letter, block: Block, *arrays: Array) -> Arrays:
    """What a worker does: all its arguments but the block are mapped from its node's object store."""
    trainer, collection = open_parcel(letter, arrays, _worker_name())
    return run_block(trainer, collection, block)


def call_task(letter: Letter, *arrays: Array) -> tuple[str, Any]:
    """Call a function that was sent, with its arguments; the worker's processor stands beside what it gives."""
    from memberwise.models.processors import processor_name

    function, *arguments = open_parcel(letter, arrays, _worker_name())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return processor_name(device), function(*arguments)


def _worker_name() -> str:
    return f"worker on node {platform.node()}"


@dataclass(frozen=True)
class Sent:
    """A parcel in the object store."""

    letter: Any
    arrays: Sequence[Any]
    nbytes: int


@dataclass
class Cluster:
    """A connection to Ray; ``ours``: opened here, and closed again."""

    ray: Any
    ours: bool

    def send(self, thing: object) -> Sent:
        """Put a thing into the object store, each large array ``(...,)`` by itself: a node takes them once."""
        parcel = pack(thing)
        return Sent(self.ray.put(parcel.letter), [self.ray.put(array) for array in parcel.arrays], parcel.nbytes)

    def nodes(self) -> list[dict[str, float]]:
        """The resources of each node that is alive."""
        return [dict(node["Resources"]) for node in self.ray.nodes() if node["Alive"]]

    def close(self) -> None:
        if self.ours:
            self.ray.shutdown()


def connect(config: RayConfig) -> Cluster:
    """A connection to the cluster of this address; none: to a Ray of this machine, which is started.

    A connection that this process has already is used, and left open.

    Raises:
        MissingExtraError: Ray is not installed. TrainingError: nothing answers there.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtraError.of("ray", "ray", "the engine ray") from None
    if ray.is_initialized():
        return Cluster(ray, ours=False)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if config.address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
        store = None if config.object_store_mb is None else config.object_store_mb * MILLION
        quiet |= {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": store}
    try:
        ray.init(address=config.address or "local", **quiet)
    except Exception as error:  # of many kinds, gRPC's among them
        raise TrainingError(
            "no Ray can be reached" if config.address else "no Ray can be started here",
            found=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}",
            where=f"engine.ray.address ({config.address or 'this machine'})",
            fix="start one (docs/cluster.md), or --engine local" if config.address else "--engine local",
        ) from error
    return Cluster(ray, ours=True)


@contextlib.contextmanager
def connected(config: RayConfig) -> Iterator[Cluster]:
    """The same, closed at the end where it was opened here: several runs in it share one."""
    cluster = connect(config)
    try:
        yield cluster
    finally:
        cluster.close()


@dataclass(frozen=True)
class Share:
    """What one block needs of a worker."""

    cpus: float
    gpus: float

    @classmethod
    def of(cls, trainer: Trainer, config: RayConfig) -> Share:
        """As the study says; else the plan's threads, and a whole GPU where models train on one."""
        facts = trainer.describe()
        return cls(
            facts.threads if config.cpus is None else config.cpus,
            float(facts.device == "cuda") if config.gpus is None else config.gpus,
        )

    def places(self, nodes: Sequence[dict[str, float]]) -> int:
        """How many blocks fit onto these nodes at once."""
        return sum(self._on(node) for node in nodes)

    def _on(self, node: dict[str, float]) -> int:
        needs = [(need, node.get(name, 0.0)) for name, need in (("CPU", self.cpus), ("GPU", self.gpus)) if need]
        return min((int(there / need + 1e-9) for need, there in needs), default=1)

    def check(self, nodes: Sequence[dict[str, float]]) -> None:
        """Raises:
        StudyError: there are workers, and none of them has room for one block.
        """
        if self.places(nodes) or not any(node.get("CPU") for node in nodes):
            return
        largest = max(nodes, key=lambda node: node.get("CPU", 0.0))
        raise StudyError(
            "no node of the cluster has room for one block",
            expected=f"{self.cpus:g} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else ""),
            found=f"at most {largest.get('CPU', 0.0):g} CPUs, "
            f"{max(node.get('GPU', 0.0) for node in nodes):g} GPUs on a node",
            where="engine.ray.cpus, engine.ray.gpus",
            fix="--set plan.threads=1, or what a node has",
        )


@dataclass(frozen=True)
class _UnderWay:
    block: Block
    begun: float


@dataclass
class _Done:
    """What came back: models by kind of processor, since when."""

    begun: float = field(default_factory=time.monotonic)
    models: Counter[str] = field(default_factory=Counter)

    @property
    def rates(self) -> str:
        seconds = max(time.monotonic() - self.begun, 1e-9)
        return ", ".join(f"{count / seconds:.1f} models/s by {name}" for name, count in self.models.items())


class RayEngine:
    """As many blocks under way as the cluster has room for, and one that waits; lost ones are tried again."""

    def __init__(self, trainer: Trainer, collection: Collection, tick: BlockTick, config: EngineConfig) -> None:
        self.config, self.tick, self.tries = config.ray, tick, Tries(config.tries)
        self.share = Share.of(trainer, self.config)
        self.cluster = connect(self.config)
        self.under_way: dict[Any, _UnderWay] = {}
        self.done, self.block_bytes = _Done(), 0
        try:
            self.share.check(self.cluster.nodes())
            self.sent = self.cluster.send((trainer, collection))
        except BaseException:
            self.cluster.close()
            raise
        # Ray's own retries would hide what was lost.
        options = {"num_cpus": self.share.cpus, "num_gpus": self.share.gpus, "max_retries": 0}
        self.task = self.cluster.ray.remote(**options)(run_task)

    @property
    def in_flight(self) -> int:
        nodes = self.cluster.nodes()
        if self.config.in_flight is not None:
            return self.config.in_flight
        most = self.share.places(nodes) + 1
        if self.block_bytes:
            room = STORE_SHARE * sum(node.get("object_store_memory", 0.0) for node in nodes)
            most = min(most, int(room / self.block_bytes))
        return max(1, most)

    @property
    def notes(self) -> list[Note]:
        return self.tries.notes

    @property
    def status(self) -> str:
        nodes = self.cluster.nodes()
        parts = [f"{len(nodes)} node{'s' * (len(nodes) != 1)} with room for {self.share.places(nodes)} blocks"]
        parts += [f"{len(self.under_way)} under way", *([self.done.rates] if self.done.models else [])]
        again = len(self.tries.reasons)
        return ", ".join([*parts, f"{again} tried again"] if again else parts)

    def submit(self, block: Block) -> Iterator[Done]:
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
            self.cluster.close()
        return done

    def _begin(self, block: Block) -> None:
        reference = self.task.remote(self.sent.letter, block, *self.sent.arrays)
        self.under_way[reference] = _UnderWay(block, time.monotonic())

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
            block = self.under_way.pop(reference).block
            try:
                arrays = self._fetch(reference)
            except Exception as error:
                self._again(block, error)
                continue
            self.done.models[str(arrays[PROCESSOR][0])] += len(block)
            self.block_bytes = max(self.block_bytes, sum(array.nbytes for array in arrays.values()))
            yield block, arrays
        for under_way in list(self.under_way.values())[:1]:
            self.tick(under_way.block, 0.0)

    def _fetch(self, reference: Any) -> Arrays:
        """A copy of a result, so that the object store lets go of it."""
        return {name: np.array(array) for name, array in self.cluster.ray.get(reference).items()}

    def _again(self, block: Block, error: Exception) -> None:
        """Raises:
        MemberwiseError: it was tried often enough. torch.OutOfMemoryError: at once, so that a smaller stack is tried.
        """
        exceptions = self.cluster.ray.exceptions
        reason, cause = f"{type(error).__name__}: {_first_line(error)}", error
        if isinstance(error, exceptions.RayTaskError):
            cause = error.cause or error
            reason = f"{type(cause).__name__}: {_first_line(cause)}"
        elif isinstance(error, exceptions.RayError):
            reason = f"its worker was lost ({type(error).__name__})"
        if isinstance(cause, torch.OutOfMemoryError):
            raise cause
        self.tries.again(block, reason, cause)
        self._begin(block)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def call_on_each_kind(config: RayConfig, function: Callable[..., Any], *arguments: object) -> list[KindOfWorker]:
    """Call a function on one worker of each kind of node, side by side, with the cluster otherwise idle."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    with connected(config) as cluster:
        sent = cluster.send((function, *arguments))
        kinds: dict[tuple[object, ...], list[dict[str, Any]]] = {}
        for node in cluster.ray.nodes():
            if node["Alive"] and node["Resources"].get("CPU"):
                kinds.setdefault(_kind(node["Resources"]), []).append(node)
        tasks = []
        for nodes in kinds.values():
            gpus = min(1.0, nodes[0]["Resources"].get("GPU", 0.0))
            where = NodeAffinitySchedulingStrategy(nodes[0]["NodeID"], soft=False)
            task = cluster.ray.remote(num_cpus=1, num_gpus=gpus, max_retries=1, scheduling_strategy=where)(call_task)
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
