"""Where the time of a run went, by stage."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

# start-up: of the command line, from the process's start until the study is read and what carries it out is imported
# (0 where an audit is called from Python). data: records, roles, encoding. plan: model, checks, how models are to
# train. target, shadow models: trained and asked. attacks: their scores. thresholds: the attacks again, on shadow
# models in the target's place and on population records. figures: intervals, discoveries, mismatch. turns: every
# shadow model in the target's place. curves: ROC curves and their bands. report: every file but ``result.json``.
# other: what no stage accounts for.
Stage = Literal[
    "start-up",
    "data",
    "plan",
    "target",
    "shadow models",
    "attacks",
    "thresholds",
    "figures",
    "turns",
    "curves",
    "report",
    "other",
]


@dataclass(frozen=True)
class StageSeconds:
    """How long a stage of the run took, in seconds."""

    stage: str
    seconds: float


class Stages:
    """A clock that is told, whenever a stage is over, which one it was."""

    def __init__(self, start_up: float = 0.0, clock: Callable[[], float] = time.perf_counter) -> None:
        """``start_up``: seconds of the process before."""
        self._clock = clock
        self._spent: dict[Stage, float] = dict.fromkeys(get_args(Stage), 0.0) | {"start-up": start_up}
        self.begun = self._last = clock()

    def over(self, stage: Stage) -> None:
        """What passed since a stage was over last is this one's."""
        now = self._clock()
        self._spent[stage] += now - self._last
        self._last = now

    @property
    def seconds(self) -> float:
        """Since the clock was made."""
        return self._clock() - self.begun

    def spent(self) -> tuple[StageSeconds, ...]:
        """What each stage has taken until now, to the millisecond; together all there is."""
        self.over("other")
        return tuple(StageSeconds(stage, round(seconds, 3)) for stage, seconds in self._spent.items())


def stage_lines(spent: Sequence[StageSeconds]) -> list[str]:
    """A table for a person: seconds of each stage, and its share of the whole."""
    whole = StageSeconds("total", sum(one.seconds for one in spent))
    return [
        f"{one.stage:<14}{one.seconds:>9.2f} s{one.seconds / max(whole.seconds, 1e-9):>7.1%}" for one in (*spent, whole)
    ]


def process_seconds() -> float:
    """Seconds since this process started, where the system tells (Linux); else 0."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return float(Path("/proc/uptime").read_text().split()[0]) - started
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
