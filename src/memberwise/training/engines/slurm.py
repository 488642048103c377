"""The engine of a Slurm cluster, by submitit: blocks as tasks of job arrays, the data in a folder that nodes share."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memberwise.errors import MemberwiseError, MissingExtraError, Note, StudyError, TrainingError
from memberwise.store.files import write_atomically
from memberwise.study.engine import EngineConfig, SlurmConfig
from memberwise.training.engines.base import PROCESSOR, Block, BlockTick, Collection, Done, run_block
from memberwise.training.engines.parcel import Parcel, open_parcel, pack
from memberwise.training.engines.rates import Rates, status_line
from memberwise.training.engines.tries import Tries
from memberwise.training.trainers.base import Trainer
from memberwise.types.arrays import Arrays

LETTER = "letter.pkl"
# Seconds between two looks at results, and between two questions to Slurm's accounting.
LOOK, ASK = 1.0, 15.0
# On a shared file system an answer may be seen so many seconds after Slurm says that its task is over.
LATE = 15.0
# Slurm warns a task so many seconds before its time is over, at most.
WARN = 60


def write_parcel(parcel: Parcel, folder: Path) -> str:
    """A parcel as files, which processes of one node map into memory together; gives the letter's SHA-256."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number, array in enumerate(parcel.arrays):
        np.save(folder / f"{number}.npy", array, allow_pickle=False)
    content = pickle.dumps(parcel.letter)
    write_atomically(folder / LETTER, content, private=True)
    return hashlib.sha256(content).hexdigest()


def run_task(folder: str, digest: str, count: int, block: Block) -> Arrays | MemberwiseError:
    """What a task does; an error of ours comes back as it is, where submitit gives others as text alone."""
    worker = f"node {platform.node()}"
    try:
        content = (Path(folder) / LETTER).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise TrainingError("what the tasks are sent was changed", where=f"{folder}, {worker}")
        arrays = [np.load(Path(folder) / f"{k}.npy", mmap_mode="r", allow_pickle=False) for k in range(count)]
        trainer, collection = open_parcel(pickle.loads(content), arrays, worker)  # noqa: S301 (our own, by its hash)
        return run_block(trainer, collection, block)
    except MemberwiseError as error:
        return error


class SlurmEngine:
    """Blocks wait until an array is full, and are resubmitted when their task is killed or runs out of time."""

    def __init__(self, trainer: Trainer, collection: Collection, tick: BlockTick, config: EngineConfig) -> None:
        self.config, self.tick, self.tries = config.slurm, tick, Tries(config.tries)
        self.executor = _executor(self.config, trainer.describe().threads)
        self.folder = Path(self.executor.folder)
        parcel = pack((trainer, collection))
        self.parcel = self.folder / f"data-{hashlib.sha256(parcel.letter.content).hexdigest()[:16]}"
        self.sent = (str(self.parcel), write_parcel(parcel, self.parcel), len(parcel.arrays))
        self.waiting: list[Block] = []
        self.under_way: dict[Any, Block] = {}
        self.asked = time.monotonic()
        self.over: dict[Any, float] = {}
        self.rates = Rates()

    @property
    def in_flight(self) -> int:
        return 2 * self.config.array  # one array fills while another runs

    @property
    def notes(self) -> list[Note]:
        return self.tries.notes

    @property
    def status(self) -> str:
        waiting = f"{len(self.waiting)} waiting for their array"
        return status_line(waiting, len(self.under_way), self.rates, self.tries.reasons)

    def submit(self, block: Block) -> Iterator[Done]:
        while len(self.under_way) + len(self.waiting) >= self.in_flight:
            yield from self._finished(LOOK)
        self.waiting.append(block)
        if len(self.waiting) >= self.config.array:
            self._begin()
        yield from self._finished(0.0)

    def drain(self) -> Iterator[Done]:
        self._begin()
        while self.under_way:
            yield from self._finished(LOOK)

    def close(self) -> list[Done]:
        done: list[Done] = []
        for job, block in self.under_way.items():
            if job.paths.result_pickle.exists():
                with contextlib.suppress(Exception):  # it failed: the run ends anyway
                    done.append((block, self._fetch(job)))
            else:
                job.cancel(check=False)
        self.under_way.clear()
        shutil.rmtree(self.parcel, ignore_errors=True)
        for file in self.folder.glob("*.pkl"):  # jobs and answers; logs stay
            file.unlink(missing_ok=True)
        return done

    def _begin(self) -> None:
        blocks, self.waiting = self.waiting, []
        if blocks:
            same = [[part] * len(blocks) for part in self.sent]
            self.under_way |= dict(zip(self.executor.map_array(run_task, *same, blocks), blocks, strict=True))

    def _finished(self, seconds: float) -> Iterator[Done]:
        ended = self._ended()
        if not ended:
            time.sleep(seconds)
        for job in ended:
            block = self.under_way.pop(job)
            try:
                arrays = self._fetch(job)
            except Exception as error:
                self.tries.again(block, _reason(job, error), error)
                self.waiting.append(block)
                self._begin()
                continue
            self.rates.count(str(arrays[PROCESSOR][0]), len(block))
            yield block, arrays
        for block in list(self.under_way.values())[:1]:
            self.tick(block, 0.0)

    def _ended(self) -> list[Any]:
        """Jobs whose result is there, and, asked now and then, those that Slurm says are over without one."""
        now = time.monotonic()
        if now - self.asked > ASK and self.under_way:
            self.asked = now
            next(iter(self.under_way)).watcher.update()
        self.over = {job: self.over.get(job, now) for job in self.under_way if job.done()}
        return [job for job, since in self.over.items() if job.paths.result_pickle.exists() or now - since >= LATE]

    def _fetch(self, job: Any) -> Arrays:
        """Raises:
        MemberwiseError: as the task raised it. Exception: where it was killed, or failed otherwise.
        """
        if not job.paths.result_pickle.exists():  # submitit would wait for it, for each of many in turn
            raise LookupError(f"no answer\n{job.stderr() or ''}")
        result = job.result()
        if isinstance(result, MemberwiseError):
            raise result
        return dict(result)


def _reason(job: Any, error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip(" -")]
    if isinstance(error, MemberwiseError):
        return error.problem
    state = str(job.watcher.get_state(job.job_id, mode="standard"))
    told = next((line.strip() for line in reversed(lines) if "Error" in line), lines[0].strip() if lines else "")
    return f"task {job.job_id} ended as {state}: {told[:200]}"


def _executor(config: SlurmConfig, threads: int) -> Any:
    """Raises:
    MissingExtraError: submitit is not installed. StudyError: there is no Slurm here, or one that keeps no accounts.
    """
    try:
        import submitit
    except ImportError:
        raise MissingExtraError.of("submitit", "slurm", "the engine slurm") from None
    _check_slurm()
    place = Path(config.folder or "slurm").resolve()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A folder of this run's own: others may share the place, and at the end the pickles in it are deleted.
    folder = Path(tempfile.mkdtemp(prefix="memberwise-", dir=place))
    executor = submitit.SlurmExecutor(folder=folder)
    settings: dict[str, object] = {
        "job_name": "memberwise",
        "time": config.minutes,
        "signal_delay_s": min(WARN, config.minutes * 15),
        "array_parallelism": config.array,
        "cpus_per_task": config.cpus or threads,
        "partition": config.partition,
        "gres": config.gres,
        "mem": None if config.memory_mb is None else f"{config.memory_mb}M",
        "setup": list(config.setup) or None,
        "additional_parameters": dict(config.options) or None,
    }
    executor.update_parameters(**{name: value for name, value in settings.items() if value is not None})
    return executor


def _check_slurm() -> None:
    missing: Sequence[str] = [name for name in ("sbatch", "sacct", "scontrol") if shutil.which(name) is None]
    if missing:
        raise StudyError(
            "there is no Slurm on this machine",
            expected="a login node with Slurm's commands",
            found=f"no {', '.join(missing)}",
            where="engine.name",
            fix="--engine local or ray",
        )
    try:
        reply = subprocess.run(["scontrol", "show", "config"], check=False, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise TrainingError("Slurm's controller does not answer", where="scontrol show config") from None
    if reply.returncode:
        found = reply.stderr.strip().partition("\n")[0]
        raise TrainingError("Slurm's controller does not answer", found=found, where="scontrol show config")
    if "accounting_storage/none" in reply.stdout:
        raise StudyError(
            "this Slurm keeps no accounts, so that nobody could tell that a task was killed",
            expected="accounting by slurmdbd, which sacct reads",
            found="AccountingStorageType = accounting_storage/none",
            where="slurm.conf",
            fix="have accounting set up, or run Ray on Slurm (docs/cluster.md) and --engine ray",
        )
