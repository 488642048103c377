"""What tests of engines have in common: a small run of shadow models, by any trainer and engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from held_trainer import HeldTrainer
from torch import nn

from memberwise.models.network import Network
from memberwise.signals.gather import gather
from memberwise.signals.progress import Silent
from memberwise.signals.questions import Questions
from memberwise.signals.schedule import FixedCount, Jobs, ShadowRun
from memberwise.store.blocks import BlockStore
from memberwise.study.engine import EngineConfig
from memberwise.study.schema import TrainingConfig
from memberwise.training.job import Job
from memberwise.training.plan import Plan
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.base import Trainer
from memberwise.types.arrays import Arrays

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 6)).astype(np.float32), RNG.integers(0, 3, 60)
NOBODY = np.arange(0)
QUESTIONS = Questions(X, Y, 3, np.arange(40), NOBODY, np.arange(40, 60), NOBODY)
RECIPE = Recipe.of(TrainingConfig(epochs=2, batch_size=8))
BLOCK = 2
LOCAL = EngineConfig()


def job(k: int) -> Job:
    """Of the k-th shadow model; its seed is 100 + k."""
    return Job(np.arange(k, k + 30), Step(), RECIPE, 100 + k)


def trainer(folder: Path | None = None, stack: int = BLOCK, **settings: int) -> HeldTrainer:
    network = Network(lambda: nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.2), nn.Linear(5, 3)), CPU)
    made = HeldTrainer(network, DataTensors.of(X, Y, 3, CPU), Plan(stack, "float32", 1, stacked=stack > 1))
    made.__dict__.update(settings | ({} if folder is None else {"folder": str(folder)}))
    return made


def run(
    store: Path,
    made: Trainer,
    config: EngineConfig = LOCAL,
    jobs: int | Jobs = 8,
    progress: Silent | None = None,
    questions: Questions = QUESTIONS,
) -> ShadowRun:
    """So many models, by blocks of two."""
    jobs = FixedCount(job, jobs, BLOCK) if isinstance(jobs, int) else jobs
    return gather(made, jobs, questions, BlockStore(store), {}, progress or Silent(), config)


def is_same(one: Arrays, other: Arrays) -> bool:
    """To the bit."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and one[name].tobytes() == other[name].tobytes() for name in one
    )


def manifests(*stores: Path) -> list[list[tuple[object, object]]]:
    """Hash and keys of each block of each run."""
    return [[(one["sha256"], one["keys"]) for one in BlockStore(store).manifest.values()] for store in stores]
