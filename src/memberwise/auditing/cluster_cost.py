"""What an audit would cost on a cluster: what each node is sent, and hours by a calibration on each kind of worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from memberwise.auditing.prepare import Prepared
from memberwise.signals.collection import SignalCollection
from memberwise.study.engine import RayConfig
from memberwise.training.engines.lanes import Lane, gpu_share, lanes_of
from memberwise.training.engines.parcel import pack
from memberwise.training.trainers.base import Fit


@dataclass(frozen=True)
class WorkersCost:
    """Nodes of one kind.

    Attributes:
        blocks: under way at once on all of them. model_seconds: of training and asking one model; measured there, or,
            of Slurm, here.
    """

    processor: str
    nodes: int | None
    blocks: int
    model_seconds: float


@dataclass(frozen=True)
class ClusterCost:
    """What a cluster would be sent and take.

    Attributes:
        node_bytes: data, model and questions, once for each node. seconds: of all shadow models, by all workers.
    """

    engine: str
    workers: tuple[WorkersCost, ...]
    node_bytes: int
    seconds: float

    def lines(self) -> list[str]:
        """For a person."""
        kinds = [
            f"{one.blocks} blocks at once on "
            + (
                f"{one.nodes} node{'s' * (one.nodes > 1)}"
                if one.nodes
                else "Slurm's nodes, taken to be as fast as this"
            )
            + f" ({one.processor}), {one.model_seconds:.3g} s a model"
            for one in self.workers
        ]
        return [
            f"cluster       {self.engine}: {'; '.join(kinds)}",
            f"to each node  {self.node_bytes / 1e6:,.1f} MB, once",
        ]


def cluster_cost(prepared: Prepared, calibrate: Callable[[Prepared], float]) -> ClusterCost | None:
    """What the study's engine would be sent and take; None for an engine of this machine.

    Args:
        calibrate: seconds for all models, by one worker.
    """
    config, count = prepared.study.engine, prepared.study.shadow.count
    if config.name not in ("ray", "slurm"):
        return None
    models = count + (prepared.target is None)
    if config.name == "ray":
        from memberwise.training.engines.ray import call_on_each_kind

        kinds = call_on_each_kind(config.ray, _calibrate_there, calibrate, prepared)
        lanes = lanes_of(prepared.trainer.describe(), config.ray, [node for kind in kinds for node in kind.nodes])
        workers = []
        for kind in kinds:
            fit, seconds = kind.value
            places = sum(_shared(lane, fit, config.ray).places(kind.nodes) for lane in lanes)
            if places:
                workers.append(WorkersCost(kind.processor, len(kind.nodes), places, seconds / models))
    else:
        facts = prepared.trainer.describe()
        blocks = min(config.slurm.array, -(-count // facts.block))
        workers = [WorkersCost(facts.processor, None, blocks, calibrate(prepared) / models)]
    parcel = pack((prepared.trainer, SignalCollection(prepared.shadow_questions)))
    rate = sum(one.blocks / one.model_seconds for one in workers)
    return ClusterCost(config.name, tuple(workers), parcel.nbytes, count / rate if rate else float("inf"))


def _calibrate_there(calibrate: Callable[[Prepared], float], prepared: Prepared) -> tuple[Fit, float]:
    """On a worker: how the trainer does there, and the seconds for all models by the plan that was measured."""
    trainer = prepared.trainer
    fit = trainer.measure(prepared.shadow_job(0), prepared.plan.threads)
    if fit.processor != trainer.describe().processor:
        trainer = trainer.under(fit.plan, fit.device)
    return fit, calibrate(replace(prepared, trainer=trainer, plan=trainer.plan))


def _shared(lane: Lane, fit: Fit, config: RayConfig) -> Lane:
    return lane if lane.device == "cpu" or config.gpus is not None else replace(lane, gpus=gpu_share(fit))
