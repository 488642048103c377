"""Where blocks go in a cluster of several kinds of workers: which of them, on how much of a node, by which plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from memberwise.errors import StudyError
from memberwise.models.processors import processor_name
from memberwise.study.engine import RayConfig
from memberwise.training.plan import Plan
from memberwise.training.trainers.base import Fit, Trainer, TrainerFacts

# Resources of one node, by their names.
Node = Mapping[str, float]
ACCELERATOR = "accelerator_type:"
# Beside what torch counts, a process takes this of a GPU; and asking may take somewhat more than training.
CONTEXT, ROOM = 700_000_000, 1.25
# More blocks than this on one GPU only wait for each other.
MOST_ON_A_GPU = 8


@dataclass(frozen=True)
class Lane:
    """Workers that take blocks of one kind.

    Attributes:
        device: "cpu" or "cuda". accelerator: the GPU's model as Ray names it; "": of a node that names none.
        cpus, gpus: what one block takes of a node.
    """

    device: str
    cpus: float
    gpus: float = 0.0
    accelerator: str = ""

    @property
    def threads(self) -> int:
        return max(1, int(self.cpus))

    def takes(self, node: Node) -> bool:
        """Its blocks may go there, if there is room."""
        return self.device == "cpu" or (bool(node.get("GPU")) and _accelerator(node) == self.accelerator)

    def places(self, nodes: Sequence[Node]) -> int:
        """How many blocks fit onto these nodes at once."""
        return sum(self._on(node) for node in nodes if self.takes(node))

    def _on(self, node: Node) -> int:
        needs = [(need, node.get(name, 0.0)) for name, need in (("CPU", self.cpus), ("GPU", self.gpus)) if need]
        return min((int(there / need + 1e-9) for need, there in needs), default=1)

    @property
    def options(self) -> dict[str, Any]:
        """Of a Ray task in it."""
        named = {"accelerator_type": self.accelerator} if self.accelerator else {}
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, **named}


@dataclass(frozen=True)
class Terms:
    """By what a worker trains, as it is sent along.

    Attributes:
        device: "cuda" where it may use a GPU. threads: at most. plans: by a processor's name, where it is not the
            trainer's own.
    """

    device: str = "cpu"
    threads: int = 1024
    plans: Mapping[str, Plan] = field(default_factory=dict)

    def of(self, trainer: Trainer) -> Trainer:
        """The trainer as it is to train here."""
        device = "cuda" if self.device == "cuda" and torch.cuda.is_available() else "cpu"
        plan = self.plans.get(processor_name(device), trainer.plan)
        plan = replace(plan, threads=min(plan.threads, self.threads))
        return trainer if (plan, device) == (trainer.plan, trainer.describe().device) else trainer.under(plan, device)


def lanes_of(facts: TrainerFacts, config: RayConfig, nodes: Sequence[Node]) -> list[Lane]:
    """The lanes of a cluster: GPUs alone where there are any that may be used, one lane a model; else processors.

    A block takes as many CPUs as the plan has threads, or as the largest node has where that is less; of a GPU's node
    no more than its share of the GPU. A GPU is a block's own until it is known how much of it that takes.

    Raises:
        StudyError: models train on a GPU, and blocks are to have none.
    """
    if facts.device == "cuda" and config.gpus == 0:
        raise StudyError(
            "models train on a GPU, and blocks are to have none",
            found="engine.ray.gpus = 0",
            where="engine.ray.gpus",
            fix="--device cpu",
        )
    gpu_nodes = [node for node in nodes if node.get("GPU")]
    if facts.device != "cuda" and (not (facts.on_gpus and gpu_nodes) or config.gpus == 0):
        return [Lane("cpu", _cpus(facts, config, nodes), config.gpus or 0.0)]
    names = dict.fromkeys(_accelerator(node) for node in gpu_nodes) or {"": None}
    whole = [Lane("cuda", 0.0, 1.0, name) for name in names]
    return [with_share(lane, config.gpus or 1.0, facts, config, nodes) for lane in whole]


def with_share(lane: Lane, gpus: float, facts: TrainerFacts, config: RayConfig, nodes: Sequence[Node]) -> Lane:
    """The lane where a block takes so much of a GPU, and no more of a node's CPUs than its part of them."""
    parts = [gpus * node.get("CPU", 0.0) / node["GPU"] for node in nodes if lane.takes(node)]
    cpus = _cpus(facts, config, nodes)
    if config.cpus is None and parts:
        cpus = min(cpus, max(parts))
    return replace(lane, cpus=cpus if cpus < 1 else float(int(cpus)), gpus=gpus)


def gpu_share(fit: Fit) -> float:
    """The share of a GPU that a block takes, by memory: 1/k, where k blocks fit."""
    if not fit.gpu_memory:
        return 1.0
    return 1.0 / min(MOST_ON_A_GPU, max(1, int(fit.gpu_memory / (ROOM * fit.gpu_bytes + CONTEXT))))


def check_room(lanes: Sequence[Lane], nodes: Sequence[Node]) -> None:
    """Raises:
    StudyError: there are workers, and none of them has room for one block.
    """
    if any(lane.places(nodes) for lane in lanes) or not any(node.get("CPU") for node in nodes):
        return
    lane = lanes[0]
    raise StudyError(
        "no node of the cluster has room for one block",
        expected=f"{lane.cpus:g} CPUs" + (f" and {lane.gpus:g} GPUs" if lane.gpus else ""),
        found=f"at most {max(node.get('CPU', 0.0) for node in nodes):g} CPUs, "
        f"{max(node.get('GPU', 0.0) for node in nodes):g} GPUs on a node",
        where="engine.ray.cpus, engine.ray.gpus",
        fix="what a node has, or none of the two, so that they are chosen",
    )


def _cpus(facts: TrainerFacts, config: RayConfig, nodes: Sequence[Node]) -> float:
    largest = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    return config.cpus or (min(float(facts.threads), largest) if largest else float(facts.threads))


def _accelerator(node: Node) -> str:
    return next((name.removeprefix(ACCELERATOR) for name in sorted(node) if name.startswith(ACCELERATOR)), "")
