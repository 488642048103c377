"""Procedures that release an ensemble: models on parts of the rows, trained as one stack."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import replace

import numpy as np

from memberwise.training.job import Ensemble, Job, Trained
from memberwise.types.arrays import Mask

_PURPOSE = 0x574F52


class EnsembleProcedure(ABC):
    """Trains a model on each part of the job's rows, by the job's step and recipe, and releases all of them."""

    @abstractmethod
    def parts(self, rows: int, seed: int) -> Mask:
        """``(W, rows)`` true where a model learns a row, by its place in ``Job.rows``; from the job's seed alone."""

    def fit(self, job: Job) -> Generator[list[Job], list[Trained], Ensemble]:
        parts = self.parts(len(job.rows), job.seed)
        seeds = np.random.SeedSequence([job.seed, _PURPOSE]).generate_state(len(parts), np.uint32)
        plain = replace(job, procedure=None)
        trained = yield [
            replace(
                plain,
                rows=job.rows[part],
                targets=None if job.targets is None else job.targets[part],
                seed=int(seed),
            )
            for part, seed in zip(parts, seeds, strict=True)
        ]
        return Ensemble(tuple(trained))
