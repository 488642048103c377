"""A connection to a Ray cluster: opened, used, and closed by whoever opened it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from memberwise.errors import MissingExtraError, TrainingError
from memberwise.models.threads import cores
from memberwise.study.engine import RayConfig
from memberwise.training.engines.lanes import Node
from memberwise.training.engines.parcel import pack

MILLION = 10**6


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
        """Put a thing into the object store, each large array ``(...,)`` by itself: a node takes them once.

        Raises:
            TrainingError: there is no room for it, on disk either.
        """
        parcel = pack(thing)
        try:
            return Sent(self.ray.put(parcel.letter), [self.ray.put(array) for array in parcel.arrays], parcel.nbytes)
        except (self.ray.exceptions.ObjectStoreFullError, self.ray.exceptions.OutOfDiskError) as error:
            raise TrainingError(
                "Ray has no room for the data",
                expected=f"{parcel.nbytes / MILLION:,.0f} MB in the object store, or on the disk behind it",
                found=first_line(error),
                where="engine.ray.object_store_mb",
                fix="a larger object store, or room on the disk of Ray's temporary folder",
            ) from error

    def alive(self) -> list[dict[str, Any]]:
        """What Ray says of each node that is alive."""
        return [node for node in self.ray.nodes() if node["Alive"]]

    def nodes(self) -> list[Node]:
        """The resources of each node that is alive."""
        return [dict(node["Resources"]) for node in self.alive()]

    def on_node(self, node_id: str) -> dict[str, Any]:
        """Options of a task for that node alone."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False)}

    def within(self, tasks: Sequence[Any], seconds: float) -> list[Any]:
        """Those of the tasks that end within so many seconds; the rest is cancelled."""
        if not tasks:
            return []
        done, late = self.ray.wait(list(tasks), num_returns=len(tasks), timeout=seconds)
        for task in late:
            self.ray.cancel(task, force=True)
        return list(done)

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
        try:
            ray.init(address=config.address or "local", **quiet)
        except ConnectionAbortedError:  # Ray's client: the process that is to serve it may die as it begins
            ray.init(address=config.address or "local", **quiet)
    except Exception as error:  # of many kinds, gRPC's among them
        raise TrainingError(
            "no Ray can be reached" if config.address else "no Ray can be started here",
            found=f"{type(error).__name__}: {first_line(error)} {last_line(error)}".strip(),
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


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return str(error).strip().partition("\n")[0]


def last_line(error: BaseException) -> str:
    """How what an error says ends, where it has more lines than one."""
    return str(error).strip().rpartition("\n")[2] if "\n" in str(error).strip() else ""
