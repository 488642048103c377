"""One data-centre GPU in ten minutes: ``python benchmarks/gpu.py``; ``--device cpu --tiny`` rehearses every part.

Correctness first (``pytest -m cuda``), then many models at once beside one by one (MLP, resnet9), 64 resnet9 shadow
models of CIFAR-10 from data to report, DP-SGD beside Opacus, and the attacks on 50,000 records and 256 shadow models.
Each part stops at its share of the time, what one leaves goes to the next, and results are stored after each part in
benchmarks/results (on a CPU, and with --tiny, where ``--out`` says).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import dp_sgd
import numpy as np
import torch
from machine import Watch, machine, versions
from results import Bar, Section, markdown, spread, store
from torch import nn
from torch.nn import functional
from workload import Workload, arrays_of, jobs_of, plan_in_words, synchronise, train, whole_stacks

from memberwise.auditing.prepare import Prepared
from memberwise.study.schema import PlanConfig
from memberwise.training.job import Job

HERE = Path(__file__).parent
RESULTS, TESTS = HERE / "results", HERE.parent / "tests" / "training" / "test_cuda.py"
SECONDS = 570.0
# What a part may take, of all; unused time goes to those that follow.
SHARES = {"tests": 0.15, "mlp": 0.15, "resnet9": 0.2, "shadow": 0.25, "dp-sgd": 0.15, "attacks": 0.1}
LOOP = "loop, channels last"
# Networks that stand in where sizes only rehearse.
SMALL = {"mlp": "mlp", "resnet9": "cnn"}
# Our ratio to the one-by-one loop that is to be reached.
WANTED = {"mlp": 30.0, "resnet9": 3.0}


@dataclass(frozen=True)
class Part:
    """What a part may use: the device, sizes that only rehearse, and when it ends (``time.perf_counter``)."""

    device: str
    tiny: bool
    until: float

    @property
    def left(self) -> float:
        return max(1.0, self.until - time.perf_counter())


def tests(part: Part) -> Section:
    """The engine's tests on this device; a failure does not end the run, but stands above all figures."""
    section = Section("Correctness: the engine's tests on this device")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        chosen = "cuda and not slow" if part.tiny else "cuda"
        pytest = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", chosen, str(TESTS)]
        environment = os.environ | {"MEMBERWISE_CUDA_TESTS": part.device}
        ended = stopped_at(part, [*pytest, f"--junitxml={report}"], environment)
        if not report.exists():
            section.notes.append(f"No report: {ended.splitlines()[-1:] or 'stopped at its share of the time'}")
            section.bars.append(Bar("tests that passed", 0, 1))
            return section
        for case in ElementTree.parse(report).getroot().iter("testcase"):  # noqa: S314
            wrong = case.find("failure") if case.find("error") is None else case.find("error")
            said = "passed" if wrong is None and case.find("skipped") is None else "skipped"
            seconds = float(case.get("time", 0))
            section.rows.append(
                {"test": case.get("name"), "": said if wrong is None else "**failed**", "seconds": seconds}
            )
            if wrong is not None:
                section.notes.append(f"{case.get('name')}: {(wrong.get('message') or '').splitlines()[0][:300]}")
    passed = sum(row[""] == "passed" for row in section.rows)
    section.bars.append(Bar("tests that passed", passed, len(section.rows)))
    return section


def stopped_at(part: Part, command: list[str], environment: dict[str, str] | None = None) -> str:
    """What a process printed; at the end of the part's time it is interrupted, and has a moment to end in order."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )
    for end, wait in ((signal.SIGINT, part.left), (signal.SIGKILL, 15.0)):
        try:
            return process.communicate(timeout=wait)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, end)
    return process.communicate()[0]


@dataclass
class Loop:
    """Models one by one as one would train them on a GPU: bfloat16 autocast, channels last, a fused optimiser.

    ``graphs``: the step is captured once and replayed, as a CUDA graph; where there is none to capture, it is called.
    """

    ours: Prepared
    graphs: bool
    replay: Callable[[torch.Tensor, torch.Tensor], None] | None = None

    def __post_init__(self) -> None:
        self.network = self.ours.trainer.network  # type: ignore[attr-defined]
        self.device = self.network.device
        self.recipe = self.ours.shadow_job(0).recipe
        self.model = self.laid_out(self.network.made(0)).train()
        self.optimiser = torch.optim.SGD(
            self.model.parameters(), self.recipe.learning_rate, self.recipe.momentum, fused=True
        )

    def laid_out(self, model: nn.Module) -> nn.Module:
        made: nn.Module = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return made

    def train(self, job: Job) -> nn.Module:
        """One model; the same module again, begun anew from the job's seed."""
        x, y = (torch.from_numpy(values).to(self.device) for values in arrays_of(self.ours, job.rows))
        x = x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
        size, rng = self.recipe.batch_size, np.random.default_rng(job.seed)
        if self.graphs and self.replay is None:
            self.replay = self.captured(x[:size], y[:size])
        self.begin(job.seed)
        for _ in range(self.recipe.epochs):
            for ids in torch.from_numpy(rng.permutation(len(y))).to(self.device).split(size):
                step = self.replay if self.replay is not None and len(ids) == size else self.step
                step(x[ids], y[ids])
        return self.model

    def begin(self, seed: int) -> None:
        """In place, as a captured step knows its tensors by their places."""
        self.model.load_state_dict(self.network.made(seed).state_dict())
        for state in self.optimiser.state.values():
            state["momentum_buffer"].zero_()

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=not self.graphs)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = functional.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimiser.step()

    def captured(self, x: torch.Tensor, y: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], None]:
        """The step on tensors of these shapes, after three that warm up."""
        here, at = x.clone(), y.clone()
        graph, gpu = None, self.device.type == "cuda"
        synchronise()
        with torch.cuda.stream(torch.cuda.Stream()) if gpu else nullcontext():  # beside the usual, as captures want it
            for _ in range(3):
                self.step(here, at)
        synchronise()
        if gpu:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.step(here, at)

        def replay(records: torch.Tensor, classes: torch.Tensor) -> None:
            here.copy_(records)
            at.copy_(classes)
            graph.replay() if graph is not None else self.step(here, at)

        return replay


@dataclass
class Entrant:
    """``take(turn)`` trains ``models`` models and gives their mean test accuracy."""

    name: str
    models: int
    take: Callable[[int], float]
    seconds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


def many_at_once(name: str, part: Part) -> Section:
    """Ours by its measured plan and one by one, beside a loop with and without CUDA graphs, by turns."""
    workload = {
        "mlp": Workload("mnist", "mlp", 3000, 64, 5, device=part.device),
        "resnet9": Workload("cifar10", "resnet9", 10_000, 256, 1, device=part.device),
    }[name]
    if part.tiny:
        workload = Workload("digits", SMALL[name], 64, 32, 1, device=part.device)
    ours = workload.prepare(64)
    one = PlanConfig(stack=1, precision="bfloat16", memory_format="channels_last", threads=ours.plan.threads)
    alone = workload.prepare(64, one)
    entrants = [
        Entrant("memberwise", whole_stacks(ours, 2), partial(by_engine, ours, whole_stacks(ours, 2))),
        Entrant("memberwise, one by one, channels last", 2, partial(by_engine, alone, 2)),
        Entrant(LOOP, 1, partial(by_loop, Loop(ours, graphs=False))),
        Entrant(f"{LOOP}, CUDA graphs", 1, partial(by_loop, Loop(ours, graphs=True))),
    ]
    section = Section(f"Many at once: {workload}")
    section.notes.append(f"Our plan: {plan_in_words(ours)}.")
    race(entrants, 1 if part.tiny else 7, part, section)
    for entrant in entrants:
        ratios = [a / b for a, b in zip(entrant.seconds, entrants[0].seconds, strict=False)]
        section.rows.append(
            {
                "contestant": entrant.name,
                "models per second": spread([1 / s for s in entrant.seconds]),
                "times ours": spread(ratios),
                "test accuracy, %": spread([100 * value for value in entrant.accuracies]),
                "models a turn": entrant.models,
            }
        )
        section.raw[entrant.name] = {"seconds a model": entrant.seconds, "accuracies": entrant.accuracies}
    section.bars += [
        Bar(f"times as fast as the {row['contestant']}", row["times ours"]["median"], WANTED[name])
        for row in section.rows
        if row["contestant"] == LOOP
    ]
    return section


def race(entrants: list[Entrant], turns: int, part: Part, section: Section) -> None:
    """By turns; the first warms up, none begins after the part's end; what fails at once is left out, and told."""
    for entrant in [*entrants]:
        try:
            entrant.take(0)
        except RuntimeError as error:
            section.notes.append(f"{entrant.name} failed: {str(error).splitlines()[0][:300]}")
            entrants.remove(entrant)
    for turn in range(1, turns + 1):
        if turn > 1 and time.perf_counter() > part.until:
            return
        for entrant in entrants:
            synchronise()
            begun = time.perf_counter()
            accuracy = entrant.take(turn)
            synchronise()
            entrant.seconds.append((time.perf_counter() - begun) / entrant.models)
            entrant.accuracies.append(accuracy)


def by_engine(ours: Prepared, models: int, turn: int) -> float:
    jobs = jobs_of(ours, 64)
    arrays = train(ours, [jobs[(turn * models + i) % 64] for i in range(models)], dp_sgd.collect_few(ours))
    return float(arrays["test_accuracy"].mean())


def by_loop(loop: Loop, turn: int) -> float:
    return dp_sgd.accuracy_of(loop.ours, loop.train(loop.ours.shadow_job(turn)))


def shadow(part: Part) -> Section:
    """64 resnet9 shadow models from data to report; at the end of its time the audit reports on those it has."""
    section = Section("Shadow models end to end: memberwise audit, resnet9 on CIFAR-10")
    data, records, models, epochs = ("digits", 64, 4, 1) if part.tiny else ("cifar10", 5000, 64, 16)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        roles = ["--data", data, "--members", str(records), "--nonmembers", str(records)]
        how = [
            "--model",
            SMALL["resnet9"] if part.tiny else "resnet9",
            "--shadow-models",
            str(models),
            "--device",
            part.device,
            "--seed",
            "1",
        ]
        recipe = ["--set", f"training.epochs={epochs}", "--set", f"training.batch_size={32 if part.tiny else 256}"]
        command = [sys.executable, "-m", "memberwise.cli.main", "audit", *roles, *how, *recipe, "--out", str(out)]
        if part.tiny:
            command += ["--attacks", "loss,lira-online-fixed"]
        begun = time.perf_counter()
        printed = stopped_at(part, [*command, "--quiet"])
        seconds = time.perf_counter() - begun
        if not (out / "result.json").exists():
            section.notes.append(f"No result after {seconds:.0f} s: {printed.strip().splitlines()[-1:]}")
            return section
        result = json.loads((out / "result.json").read_text())
    count = result["shadow"]["count"]
    section.rows = [{"stage": one["stage"], "seconds": one["seconds"]} for one in result["stages"]]
    section.rows.append({"stage": "whole process", "seconds": seconds})
    section.bars.append(Bar("shadow models", count, models))
    for attack in result["attacks"]:
        if attack["name"] in ("lira-online-fixed", "learned", "loss") and attack["auc"]:
            low, high = attack["auc"]["low"], attack["auc"]["high"]
            section.notes.append(f"{attack['name']}: AUC {attack['auc']['value']:.3f} [{low:.3f}, {high:.3f}]")
    section.notes.append(f"{2 * records:,} records, {epochs} epochs; plan {result['shadow']['plan']}.")
    section.raw = {"stages": result["stages"], "seconds": seconds, "count": count}
    return section


def dp(part: Part) -> Section:
    """Both networks of ``dp_sgd.py``, half of the time each, as one table."""
    section = Section("DP-SGD beside Opacus")
    dp_sgd.quiet()
    for place, case in enumerate(dp_sgd.cases(part.tiny, part.device).values()):
        seconds = part.left / (2 - place)
        made = dp_sgd.measured(case, 1 if part.tiny else 5, seconds=seconds)
        section.rows += [{"network": case.workload.model, **row} for row in made.rows]
        section.bars += made.bars
        section.notes += made.notes
        section.raw[case.workload.model] = made.raw
    return section


def attacks(part: Part) -> Section:
    """``attack_speed.py``: attacks compute on the processor, beside whatever GPU there is."""
    records, models = (400, 8) if part.tiny else (50_000, 256)
    section = Section(f"Score-only attacks on {records:,} records and {models} shadow models")
    command = [sys.executable, str(HERE / "attack_speed.py"), "--records", str(records), "--models", str(models)]
    printed = stopped_at(part, command)
    whole = re.search(r"all figures ([\d.]+) s, ([\d.]+) s of", printed)
    memory = re.search(r"peak memory ([\d,]+) MB", printed)
    if whole is None or memory is None:
        section.notes.append(f"Stopped at its share of the time, or failed: {printed.strip().splitlines()[-1:]}")
        return section
    section.rows.append(
        {"seconds": float(whole[1]), "processor seconds": float(whole[2]), "peak memory, MB": memory[1]}
    )
    section.raw["printed"] = printed.splitlines()
    return section


PARTS: dict[str, Callable[[Part], Section]] = {
    "tests": tests,
    "mlp": partial(many_at_once, "mlp"),
    "resnet9": partial(many_at_once, "resnet9"),
    "shadow": shadow,
    "dp-sgd": dp,
    "attacks": attacks,
}


def in_time(names: list[str], seconds: float) -> Iterator[tuple[str, float]]:
    """Each part's name and when it has to end: its share of what is left among those still to come."""
    end = time.perf_counter() + seconds
    for place, name in enumerate(names):
        now = time.perf_counter()
        yield name, now + max(0.0, end - now) * SHARES[name] / sum(SHARES[later] for later in names[place:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that it runs")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all parts together")
    parser.add_argument("--only", action="append", choices=[*PARTS], help="a part (repeatable)")
    parser.add_argument("--out", type=Path, help="folder to store results in")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device here; --device cpu --tiny rehearses")
    rehearsed = arguments.tiny or arguments.device == "cpu"
    folder = arguments.out or (None if rehearsed else RESULTS)
    begun, watch, done = time.perf_counter(), Watch(), dict[str, Any]()
    for name, until in in_time(arguments.only or [*PARTS], arguments.seconds):
        start = time.perf_counter()
        try:
            section = PARTS[name](Part(arguments.device, arguments.tiny, until))
        except Exception as error:  # the other parts' figures count all the same
            section = Section(f"{name}: failed", notes=[f"{type(error).__name__}: {error}"])
        done[name] = section.to_dict() | {"seconds": time.perf_counter() - start}
        print(markdown(done[name]), flush=True)
        run = {
            "date": str(datetime.datetime.now(datetime.UTC).date()),
            "machine": machine() | ({} if arguments.device == "cuda" else {"gpu": None}),
            "versions": versions(),
            "others_share": watch.others_share(),
            "seconds": time.perf_counter() - begun,
            "quick": arguments.tiny,
            "sections": done,
        }
        if folder:
            store(folder, run)
    return int(any(not bar["reached"] for bar in done.get("tests", {"bars": []})["bars"]))


if __name__ == "__main__":
    sys.exit(main())
