"""Residual networks on a CPU beside a loop and their own convolutions: ``python benchmarks/residual.py [--tiny]``.

Steps of one model at batch 64 on made-up 32x32x3 images: a float32 loop (the module, autograd, torch's fused SGD), the
same with channels last, our step in float32 and in bfloat16 with channels last, and that compiled. Beside them the
network's convolutions alone, forward and both gradients, in either precision: what share of their speed a step reaches.
All take turns in one process, each ratio is of one turn. Stored in benchmarks/results/residual.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import Watch, machine, versions
from results import Bar, Section, markdown, spread
from torch import nn
from torch.nn import functional

from memberwise.models.build import build_model
from memberwise.models.layer_kinds import CONVOLUTIONS
from memberwise.models.network import Network
from memberwise.study.schema import ModelConfig, TrainingConfig
from memberwise.training.feed import Feed
from memberwise.training.job import Job
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.steppers.base import make_stepper
from memberwise.training.tensors import DataTensors

RESULTS = Path(__file__).parent / "results" / "residual.json"
NETWORKS = ("cnn", "resnet9", "wrn-16-4", "densenet-bc-22-12", "densenet-bc-22-12-group", "resnet20-group")
WANTED = 2.5
LOOP, LAST = "float32 loop", "float32 loop, channels last"
OURS, HALF, COMPILED = "ours, float32", "ours, bfloat16, channels last", "ours, bfloat16, channels last, compiled"
CONVOLUTION = {torch.float32: "convolutions alone, float32", torch.bfloat16: "convolutions alone, bfloat16"}
Run = Callable[[], object]


@dataclass
class Case:
    """One network, its job and one batch."""

    name: str
    batch: int
    side: int
    job: Job = field(init=False)
    data: DataTensors = field(init=False)
    network: Network = field(init=False)

    def __post_init__(self) -> None:
        rng, shape = np.random.default_rng(0), (3, self.side, self.side)
        x, y = rng.random((self.batch, *shape)).astype(np.float32), rng.integers(0, 10, self.batch)
        cpu = torch.device("cpu")
        self.data = DataTensors.of(x, y, 10, cpu)
        recipe = Recipe.of(TrainingConfig(batch_size=self.batch, learning_rate=0.01))
        self.job = Job(np.arange(self.batch), Step(), recipe, 1)
        self.network = Network(build_model(ModelConfig(name=self.name), shape, 10).make, cpu)

    def loop(self, layout: torch.memory_format) -> Run:
        """A plain loop's step."""
        model = self.network.made(1).to(memory_format=layout)  # type: ignore[call-overload]
        optimiser = torch.optim.SGD(model.parameters(), 0.01, 0.9, fused=True)
        x, y = self.data.x.contiguous(memory_format=layout), self.data.y

        def step() -> None:
            optimiser.zero_grad(set_to_none=True)
            functional.cross_entropy(model(x), y).backward()
            optimiser.step()

        return step

    def ours(self, precision: torch.dtype, layout: torch.memory_format, compiled: bool) -> tuple[Run, Network]:
        """Our step, and the network, whose notes say whether a program was given up."""
        network = self.network.computing(precision, layout)
        network.notes = {}
        stepper = make_stepper([self.job], network, stacked=False, compiled=compiled)
        batch, keys = next(Feed([self.job], network, self.data).epoch(0))
        return lambda: stepper.step(batch, keys, 0.01), network

    def convolutions(self, precision: torch.dtype) -> Run:
        """Each convolution of a step with its own shapes: forward, gradient by the weights and, but the first, by x."""
        model, seen = self.network.made(1), list[tuple[nn.Conv2d, torch.Tensor, torch.Tensor]]()
        for part in model.modules():
            if isinstance(part, CONVOLUTIONS):
                part.register_forward_hook(lambda part, given, answer: seen.append((part, given[0], answer)))
        layout = torch.channels_last
        with torch.no_grad():
            model(self.data.x)

        def laid_out(value: torch.Tensor) -> torch.Tensor:
            return value.detach().to(precision).contiguous(memory_format=layout)

        shapes = [(part, laid_out(x), laid_out(part.weight), laid_out(answer)) for part, x, answer in seen]

        def run() -> None:
            for place, (part, x, weight, g) in enumerate(shapes):
                assert not isinstance(part.padding, str)
                how = (part.stride, part.padding, part.dilation)
                functional.conv2d(x, weight, None, *how, part.groups)
                wanted = [place > 0, True, False]
                torch.ops.aten.convolution_backward(g, x, weight, None, *how, False, [0, 0], part.groups, wanted)

        return run


def measured(case: Case, turns: int, compiles: bool) -> Section:
    """One network: seconds of a step of each way, by turns."""
    section = Section(f"{case.name}, batch {case.batch}, {case.side}x{case.side}x3")
    half, _ = case.ours(torch.bfloat16, torch.channels_last, False)
    entrants: dict[str, Run] = {
        LOOP: case.loop(torch.contiguous_format),
        LAST: case.loop(torch.channels_last),
        OURS: case.ours(torch.float32, torch.contiguous_format, False)[0],
        HALF: half,
        **{name: case.convolutions(precision) for precision, name in CONVOLUTION.items()},
    }
    if compiles:
        program, network = case.ours(torch.bfloat16, torch.channels_last, True)
        begun = time.perf_counter()
        program()
        section.notes.append(f"Compiled, and compared with what it was compiled from, in {_since(begun):.0f} s.")
        section.notes += network.notes
        entrants[COMPILED] = program
    seconds: dict[str, list[float]] = {name: [] for name in entrants}
    for turn in range(turns + 1):
        for name, run in entrants.items():
            begun = time.perf_counter()
            run()
            if turn:
                seconds[name].append(_since(begun))
    for name, values in seconds.items():
        ratios, shares = _ratios(seconds[LOOP], values), _ratios(seconds[CONVOLUTION[torch.bfloat16]], values)
        section.rows.append(
            {
                "way": name,
                "ms a step": spread([1e3 * value for value in values]),
                "times the float32 loop": spread(ratios),
                "share of the bfloat16 convolutions' speed": spread(shares),
            }
        )
    best = max((HALF, COMPILED) if compiles else (HALF,), key=lambda name: -np.median(seconds[name]))
    plain = min((LOOP, LAST), key=lambda name: np.median(seconds[name]))
    for against in dict.fromkeys((LOOP, plain)):
        ratio = spread(_ratios(seconds[against], seconds[best]))["median"]
        section.bars.append(Bar(f"times as fast as the {against}: {best}", ratio, WANTED))
    limit = spread(_ratios(seconds[LOOP], seconds[CONVOLUTION[torch.bfloat16]]))["median"]
    section.notes.append(f"Were there nothing but the bfloat16 convolutions: {limit:.2f} times as fast as the loop.")
    section.raw = {"seconds": seconds}
    return section


def _since(begun: float) -> float:
    return time.perf_counter() - begun


def _ratios(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", action="append", choices=NETWORKS)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--no-compile", action="store_true", help="leave out the compiled step (minutes a network)")
    parser.add_argument("--tiny", action="store_true", help="four images of 8x8: shows only that it runs")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    known: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.only or NETWORKS:
        watch = Watch()
        case = Case(name, 4, 8) if arguments.tiny else Case(name, 64, 32)
        section = measured(case, 1 if arguments.tiny else arguments.turns, not arguments.no_compile)
        where = {"machine": machine(), "versions": versions(), "threads": os.environ.get("OMP_NUM_THREADS")}
        when = {"date": datetime.now(UTC).date().isoformat(), "others_share": watch.others_share()}
        known[name] = {**section.to_dict(), **where, **when}
        print(markdown(known[name]), flush=True)
        arguments.out.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
