"""The jobs of the shadow models, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from memberwise.data import Roles
from memberwise.seeds import Seeds
from memberwise.training.job import Job


@dataclass(frozen=True, eq=False)
class ShadowJobs:
    """The target's job, on rows and from a seed of each shadow model's own.

    Attributes:
        target: the target's job.
        kind: whose rows they train on: "halves" of the audited pairs, or of the "auxiliary" records.
        early: of so many first ones early checkpoints are kept.
    """

    target: Job
    roles: Roles
    seeds: Seeds
    kind: Literal["halves", "auxiliary"]
    early: int = 0

    def job(self, k: int) -> Job:
        """The job of the k-th shadow model."""
        rows = self.roles.shadow_rows(k, self.seeds, self.kind)
        return replace(self.target, rows=rows, seed=self.seeds.integer("shadow", k), early=k < self.early)
