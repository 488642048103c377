"""Engines by the name that ``engine.name`` gives."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from types import TracebackType

from memberwise.registry import Registry
from memberwise.study.engine import EngineConfig
from memberwise.training.engines.base import BlockTick, Collection, Engine, EngineMaker
from memberwise.training.engines.local import LocalEngine
from memberwise.training.trainers.base import Trainer

DEFAULT = EngineConfig()


def _ray(trainer: Trainer, collection: Collection, tick: BlockTick, config: EngineConfig = DEFAULT) -> Engine:
    from memberwise.training.engines.ray import RayEngine

    return RayEngine(trainer, collection, tick, config)


def _slurm(trainer: Trainer, collection: Collection, tick: BlockTick, config: EngineConfig = DEFAULT) -> Engine:
    from memberwise.training.engines.slurm import SlurmEngine

    return SlurmEngine(trainer, collection, tick, config)


# These have settings of their own in the study; what they need is imported when they are asked for.
CONFIGURED = {"ray": _ray, "slurm": _slurm}
ENGINES: Registry[EngineMaker] = Registry("engine", [("local", LocalEngine), *CONFIGURED.items()])


def find_engine(config: EngineConfig) -> EngineMaker:
    """What makes the engine that a study names.

    Raises:
        StudyError: there is none of this name.
    """
    if config.name not in ENGINES:
        raise ENGINES.unknown(config.name, "engine.name")
    return partial(CONFIGURED[config.name], config=config) if config.name in CONFIGURED else ENGINES[config.name]


class EngineSession:
    """Several runs by one engine: a Ray that is started for the first which trains is stopped after the last."""

    def __init__(self) -> None:
        self.open = ExitStack()
        self.begun = False

    def __enter__(self) -> EngineSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.open.close()

    def begin(self, config: EngineConfig) -> None:
        """A run is about to train."""
        if config.name == "ray" and not self.begun:
            from memberwise.training.engines.ray_cluster import connected

            self.open.enter_context(connected(config.ray))
            self.begun = True
