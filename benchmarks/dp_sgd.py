"""DP-SGD beside Opacus on the same Poisson batches: ``python benchmarks/dp_sgd.py [--turns 5] [--only mlp] [--tiny]``.

The MLP on MNIST and the small CNN on CIFAR-10, momentum SGD. Opacus trains one model after the other, by gradients of
single records (hooks, and vmap) and by ghost clipping; ours by the plan that an audit of 64 models and 20 epochs
measures for itself. Batches are gathered from tensors for all, so that no data loader is timed. Everyone's epsilon is
taken by Opacus' Renyi accountant, theirs from the steps that their optimiser counted. Contestants take turns in one
process, the first turn only warms up, each ratio is of one turn; then each has a process of its own for its peak
memory. Stored in benchmarks/results/dp-sgd.json; ``--tiny`` shows only that it runs, on scikit-learn's digits.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import Watch, machine, versions
from opacus import PrivacyEngine
from results import Bar, Section, markdown, spread
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from workload import Workload, arrays_of, jobs_of, plan_in_words, synchronise, train, whole_stacks

from memberwise.auditing.prepare import Prepared
from memberwise.defences.training.dp_accounting import ORDERS, Sampling, epsilon_of
from memberwise.signals.ask import collect
from memberwise.study.schema import PlanConfig
from memberwise.training.feed import Feed
from memberwise.training.job import Job

HERE = Path(__file__).parent
NOISE, CLIP, DELTA = 0.6, 1.0, 1e-5
OURS, MODES = "memberwise", {"Opacus, hooks": "hooks", "Opacus, vmap": "functorch", "Opacus, ghost clipping": "ghost"}
DEFENCE = (("name", "dp-sgd"), ("noise_multiplier", NOISE), ("clip", CLIP), ("delta", DELTA))


@dataclass(frozen=True)
class Case:
    """One network; ``wanted``: how many times as fast as the fastest of Opacus' ways ours is to be."""

    title: str
    workload: Workload
    models: int
    wanted: float


def cases(tiny: bool, device: str) -> dict[str, Case]:
    def of(data: str, model: str, records: int, epochs: int) -> Workload:
        data, records, epochs = ("digits", 128, 1) if tiny else (data, records, epochs)
        return Workload(data, model, records, 64, epochs, device=device, defence=DEFENCE)

    # Whole batches: Opacus samples at one over their number, and epsilons are to be those of the same rate.
    return {
        "mlp": Case("DP-SGD, MLP", of("mnist", "mlp", 3200, 3), 2 if tiny else 16, 5.0),
        "cnn": Case("DP-SGD, small CNN", of("cifar10", "cnn", 2048, 2), 2, 2.0),
    }


@dataclass
class Contestant:
    """``take(turn)`` trains ``models`` models and gives their mean test accuracy and epsilon."""

    name: str
    models: int
    take: Callable[[int], tuple[float, float]]
    seconds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    epsilon: float = math.nan


def with_opacus(ours: Prepared, mode: str, job: Job) -> tuple[nn.Module, float]:
    """One model trained by Opacus in this mode, and its epsilon; the batches and the start are our engine's."""
    recipe, network, data = job.recipe, ours.trainer.network, ours.trainer.data  # type: ignore[attr-defined]
    model = network.made(job.seed)
    optimiser: Any = torch.optim.SGD(model.parameters(), recipe.learning_rate, recipe.momentum)
    # Its loader is asked for nothing but its length, by which the sampling rate is known.
    loader = DataLoader(TensorDataset(torch.zeros(len(job.rows), 1)), recipe.batch_size)
    engine, loss_of = PrivacyEngine(accountant="rdp"), nn.CrossEntropyLoss()
    how = {"noise_multiplier": NOISE, "max_grad_norm": CLIP, "poisson_sampling": True, "grad_sample_mode": mode}
    made = engine.make_private(module=model, optimizer=optimiser, criterion=loss_of, data_loader=loader, **how)
    private, optimiser, criterion = made[0], made[1], made[2] if mode == "ghost" else loss_of
    private.train()
    for epoch in range(recipe.epochs):
        for batch, _ in Feed([job], network, data).epoch(epoch):
            assert batch.mask is not None
            size = int(batch.mask[0].sum())
            optimiser.zero_grad()
            criterion(private(batch.x[0, :size]), batch.target[0, :size]).backward()
            optimiser.step()
    spent = engine.accountant.get_epsilon(DELTA, alphas=ORDERS)
    return model, float(spent)


def contestants(ours: Prepared, case: Case, single: int) -> list[Contestant]:
    """Ours and each of Opacus' ways."""
    few = collect_few(ours)
    stacked = whole_stacks(ours, case.models)
    jobs = jobs_of(ours, max(64, stacked))
    steps = case.workload.epochs * jobs[0].recipe.steps_per_epoch(case.workload.records)
    epsilon = epsilon_of(NOISE, Sampling(case.workload.batch / case.workload.records, steps), DELTA)

    def cycle(count: int, turn: int) -> list[Job]:
        return [jobs[(turn * count + i) % len(jobs)] for i in range(count)]

    def engine(turn: int) -> tuple[float, float]:
        arrays = train(ours, cycle(stacked, turn), few)
        return float(arrays["test_accuracy"].mean()), epsilon

    def opacus(mode: str, turn: int) -> tuple[float, float]:
        trained = [with_opacus(ours, mode, job) for job in cycle(single, turn)]
        return float(np.mean([accuracy_of(ours, model) for model, _ in trained])), trained[0][1]

    theirs = [Contestant(name, single, partial(opacus, mode)) for name, mode in MODES.items()]
    return [Contestant(OURS, stacked, engine), *theirs]


def collect_few(ours: Prepared) -> Any:
    """What is asked of each model: its test accuracy, and next to nothing else."""
    questions = replace(ours.questions, audited=ours.questions.audited[:64])
    return partial(collect, questions=questions, vectors=False)


@torch.no_grad()
def accuracy_of(ours: Prepared, model: nn.Module) -> float:
    x, y = arrays_of(ours, ours.questions.test)
    model.eval()
    device = next(model.parameters()).device
    right = [model(part.to(device)).argmax(1).cpu() for part in torch.from_numpy(x).split(1000)]
    return float((torch.cat(right).numpy() == y).mean())


def turns_of(entrants: list[Contestant], turns: int, until: float) -> None:
    """The first turn warms up; none begins after ``until``, but one is measured."""
    for turn in range(turns + 1):
        if turn > 1 and time.perf_counter() > until:
            return
        for one in entrants:
            synchronise()
            begun = time.perf_counter()
            accuracy, one.epsilon = one.take(turn)
            synchronise()
            if turn:
                one.seconds.append((time.perf_counter() - begun) / one.models)
                one.accuracies.append(accuracy)


def measured(case: Case, turns: int, single: int = 1, seconds: float = math.inf) -> Section:
    """One network: turns of ours and of Opacus' ways."""
    until = time.perf_counter() + seconds
    ours = case.workload.prepare(64)
    entrants = contestants(ours, case, single)
    turns_of(entrants, turns, until)
    section = Section(f"{case.title}: {case.workload}")
    fastest = [min(times) for times in zip(*(one.seconds for one in entrants[1:]), strict=True)]
    for one in entrants:
        ratios = [a / b for a, b in zip(one.seconds, entrants[0].seconds, strict=True)]
        section.rows.append(
            {
                "contestant": one.name,
                "models per second": spread([1 / s for s in one.seconds]),
                "times ours": spread(ratios),
                "test accuracy, %": spread([100 * value for value in one.accuracies]),
                "epsilon": one.epsilon,
                "models a turn": one.models,
            }
        )
        section.raw[one.name] = {"seconds a model": one.seconds, "accuracies": one.accuracies}
    ratios = [a / b for a, b in zip(fastest, entrants[0].seconds, strict=True)]
    section.bars.append(Bar("times as fast as the fastest of Opacus' ways", spread(ratios)["median"], case.wanted))
    apart = max(abs(one.epsilon - entrants[0].epsilon) for one in entrants)
    section.bars.append(Bar("epsilons apart", apart, 1e-6, "<="))
    section.notes.append(f"Our plan: {plan_in_words(ours)}; noise multiplier {NOISE}, clip {CLIP}, delta {DELTA}.")
    section.notes += [note.message for note in ours.trainer.notes]
    section.raw["plan"] = ours.plan.to_study().model_dump()
    return section


def memory(name: str, plan: dict[str, Any], arguments: argparse.Namespace) -> dict[str, float]:
    """Peak memory in MB of each contestant, beyond what its process had when everything was loaded."""
    used = {}
    for place, one in enumerate([OURS, *MODES]):
        options = ["--only", name, "--alone", str(place), "--device", arguments.device, "--plan", json.dumps(plan)]
        options += ["--tiny"] if arguments.tiny else []
        done = subprocess.run([sys.executable, __file__, *options], check=True, capture_output=True, text=True)
        used[one] = float(done.stdout.split()[-1])
    return used


def alone(case: Case, place: int, plan: PlanConfig) -> float:
    """Peak memory of one contestant, MB."""
    ours = case.workload.prepare(64, plan)
    one = contestants(ours, case, 1)[place]
    if torch.cuda.is_available() and case.workload.device != "cpu":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        one.take(0)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew, without what loading the data took
    before = resident("VmRSS")
    one.take(0)
    return (resident("VmHWM") - before) / 1e3


def resident(line: str) -> int:
    """kB of memory that this process holds or has held at most (of Linux); ``ru_maxrss`` begins with its parent's."""
    status = Path("/proc/self/status").read_text()
    return next(int(one.split()[1]) for one in status.splitlines() if one.startswith(line))


def with_memory(section: Section, used: dict[str, float]) -> Section:
    for row in section.rows:
        row["peak memory, MB"] = used[row["contestant"]]
    section.raw["peak memory, MB"] = used
    return section


def quiet() -> None:
    """Opacus' own warnings: noise that is not cryptographic, hooks on a first layer, its accountant's orders."""
    for message in ("Secure RNG", "Full backward hook", "Using a non-full", "Optimal order", "PrivacyEngine"):
        warnings.filterwarnings("ignore", message)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", choices=("mlp", "cnn"))
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "dp-sgd.json")
    for hidden, kind in (("--alone", int), ("--plan", json.loads)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    quiet()
    chosen = cases(arguments.tiny, arguments.device)
    if arguments.only:
        chosen = {arguments.only: chosen[arguments.only]}
    if arguments.alone is not None:
        print(alone(chosen[arguments.only], arguments.alone, PlanConfig.model_validate(arguments.plan)))
        return
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name, case in chosen.items():
        watch = Watch()
        section = measured(case, 1 if arguments.tiny else arguments.turns)
        section = with_memory(section, memory(name, section.raw["plan"], arguments))
        where = {"machine": machine(), "versions": versions(), "threads": os.environ.get("OMP_NUM_THREADS")}
        when = {"date": datetime.now(UTC).date().isoformat(), "others_share": watch.others_share()}
        known[name] = {**section.to_dict(), **where, **when}
        print(markdown(known[name]), flush=True)
        arguments.out.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
