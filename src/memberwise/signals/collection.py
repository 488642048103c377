"""What is collected from trained models, as data: it is sent to a worker once, before the blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memberwise.signals.ask import collect
from memberwise.signals.questions import Questions
from memberwise.targets.base import Target
from memberwise.training.job import Job
from memberwise.types.arrays import Arrays


@dataclass(frozen=True, eq=False)
class SignalCollection:
    """The arrays of ``ask.collect``: answers to a study's questions."""

    questions: Questions

    @property
    def thread_safe(self) -> bool:
        """Models may be asked by several threads at once: nothing that may keep a state stands between."""
        extras = self.questions.extras
        return not self.questions.defences and all(type(one).__module__.startswith("memberwise.") for one in extras)

    def __call__(self, models: Target, jobs: Sequence[Job], numbers: Mapping[int, int], vectors: bool) -> Arrays:
        return collect(models, jobs, self.questions, vectors, numbers)
