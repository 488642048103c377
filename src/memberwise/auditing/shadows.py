"""The shadow models: how many, gathered block by block."""

from __future__ import annotations

from memberwise.auditing.cost import calibrate
from memberwise.auditing.prepare import Prepared
from memberwise.signals.gather import gather
from memberwise.signals.progress import Progress
from memberwise.signals.schedule import FixedCount, Jobs, ShadowRun, TimeBudget
from memberwise.store.folder import RunFolder
from memberwise.study.duration import seconds_of
from memberwise.study.engine import EngineConfig

# What a time budget keeps back for attacks, statistics and the report.
ATTACK_SECONDS = 6.0
ATTACK_SECONDS_A_RECORD = 0.0008


def gather_shadows(prepared: Prepared, folder: RunFolder, begun: float, progress: Progress) -> ShadowRun:
    """The shadow models' signals, read from the run folder or trained and asked.

    Raises:
        KeyboardInterrupt: Ctrl-C before there was any; with some, the run goes on with these and says so.
    """
    jobs, questions = _jobs(prepared, begun), prepared.shadow_questions
    engine = engine_of(prepared, folder)
    shadows = gather(prepared.trainer, jobs, questions, folder.blocks, prepared.identity, progress, engine)
    if shadows.interrupted and not shadows.count:
        raise KeyboardInterrupt
    return shadows


def engine_of(prepared: Prepared, folder: RunFolder) -> EngineConfig:
    """The study's engine; what Slurm's tasks are handed goes into the run folder where the study names no other."""
    config = prepared.study.engine
    if config.slurm.folder is not None:
        return config
    slurm = config.slurm.model_copy(update={"folder": str(folder.path / "slurm")})
    return config.model_copy(update={"slurm": slurm})


def _jobs(prepared: Prepared, begun: float) -> Jobs:
    """The study's number of shadow models, or as many as its budget of time allows."""
    budget, block = prepared.study.shadow.budget, prepared.trainer.describe().block
    if budget is None:
        return FixedCount(prepared.shadow_job, prepared.study.shadow.count, block)
    count = 1 + prepared.study.shadow.count
    reserve = ATTACK_SECONDS + ATTACK_SECONDS_A_RECORD * len(prepared.roles.audited)
    ends = begun + seconds_of(budget) - reserve
    return TimeBudget(prepared.shadow_job, block, ends, calibrate(prepared) / count)
