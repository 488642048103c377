"""The plan: how models are trained on this machine, fixed before the first block, part of its key."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

import torch

from memberwise.errors import StudyError
from memberwise.models.network import Network
from memberwise.study.schema import PlanConfig


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
