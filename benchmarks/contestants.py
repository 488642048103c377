"""The other contestants: one-by-one loops of our own, and other tools' trainers in processes of their own."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from workload import arrays_of

from memberwise.auditing.prepare import Prepared
from memberwise.targets.base import Kind, Records, Target
from memberwise.targets.models import TorchModels
from memberwise.training.job import Job

HERE = Path(__file__).parent
OTHERS = HERE / ".venv-others"
SCRIPTS = {
    "ART": "with_art.py",
    "PrivacyGuard": "with_privacyguard.py",
    "amulet": "with_amulet.py",
    "SACRO-ML": "with_sacroml.py",
}


@dataclass(frozen=True)
class Loop:
    """A well-written one-by-one loop: fused optimiser, gradients dropped, no copy or conversion within an epoch.

    On a CPU it computes in float32; on an accelerator in our plan's precision and memory format, so that what is
    compared there is training many at once and nothing else. Initialisation and order of batches are our engine's.
    """

    ours: Prepared
    loader: bool = False

    def train(self, job: Job) -> nn.Module:
        recipe, device = job.recipe, self.device
        torch.manual_seed(job.seed)
        model: nn.Module = self.ours.model.make().to(device)
        x, y = (torch.from_numpy(values).to(device) for values in arrays_of(self.ours, job.rows))
        gpu, plan = device.type == "cuda", self.ours.plan
        if gpu and plan.memory_format == "channels_last" and x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.SGD(
            model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay, fused=True
        )
        steps, number = recipe.steps_per_epoch(len(y)), 0
        for epoch in range(recipe.epochs):
            for records, classes in self._batches(x, y, job, epoch):
                if recipe.schedule != "constant":
                    optimiser.param_groups[0]["lr"] = recipe.rate(number, steps)
                number += 1
                optimiser.zero_grad(set_to_none=True)
                with torch.autocast(device.type, torch.bfloat16, enabled=gpu and plan.precision == "bfloat16"):
                    loss = functional.cross_entropy(model(records), classes)
                loss.backward()
                optimiser.step()
        return model

    @property
    def device(self) -> torch.device:
        wanted = self.ours.study.run.device
        if wanted == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(wanted)

    def _batches(
        self, x: torch.Tensor, y: torch.Tensor, job: Job, epoch: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        size = job.recipe.batch_size
        if self.loader:
            yield from DataLoader(TensorDataset(x, y), batch_size=size, shuffle=True, num_workers=0)
            return
        order = np.random.default_rng([job.seed, epoch]).permutation(len(y))
        for ids in torch.from_numpy(order).to(x.device).split(size):
            yield x[ids], y[ids]


class Modules(Target):
    """Trained modules which answer, so that the same code asks them and ours."""

    kind: Kind = "logits"

    def __init__(self, modules: list[nn.Module], device: torch.device) -> None:
        self.modules, self.device = [module.eval() for module in modules], device

    def __len__(self) -> int:
        return len(self.modules)

    @torch.no_grad()
    def predict(self, x: Records) -> Any:
        parts = torch.from_numpy(x).to(self.device).split(TorchModels.CHUNK)
        return torch.stack([torch.cat([module(part) for part in parts]) for module in self.modules]).cpu().numpy()


class Other:
    """Another tool's process; ``facts`` are its version and trainers."""

    def __init__(self, script: str, data: Path) -> None:
        python = OTHERS / "bin" / "python"
        self.process = subprocess.Popen(
            [python.absolute(), script, str(data)],
            cwd=HERE / "others",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.facts = self._answer()

    def train(self, trainer: str, models: int, epochs: int, batch: int, seed: int) -> dict[str, float]:
        """Seconds of training and mean test accuracy.

        Raises:
            RuntimeError: the tool's trainer failed.
        """
        assert self.process.stdin is not None
        request = {"trainer": trainer, "models": models, "epochs": epochs, "batch": batch, "seed": seed}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self._answer()
        if "failure" in answer:
            raise RuntimeError(answer["failure"])
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return dict(json.loads(line))
        _, errors = self.process.communicate()
        raise RuntimeError(errors.strip().splitlines()[-1] if errors.strip() else "it ended without a word")


@contextmanager
def others(ours: Prepared, wanted: bool) -> Iterator[tuple[dict[str, Other], list[str]]]:
    """The other tools that are installed and start, and what there is to say about those that do not."""
    if not wanted:
        yield {}, []
        return
    running: dict[str, Other] = {}
    notes = [] if OTHERS.exists() else ["Other tools are not installed: `make bench-others`."]
    report = OTHERS / "installed.json"
    if report.exists():
        outcome = json.loads(report.read_text())
        notes += [f"{tool} did not install: {had['failure']}" for tool, had in outcome.items() if had["failure"]]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        _write(ours, data)
        for tool, script in SCRIPTS.items() if OTHERS.exists() else ():
            try:
                running[tool] = Other(script, data)
            except RuntimeError as error:
                notes.append(f"{tool} does not start: {error}")
        try:
            yield running, notes
        finally:
            for other in running.values():
                other.process.communicate()


def _write(ours: Prepared, file: Path) -> None:
    x, y = arrays_of(ours, ours.shadow_job(0).rows)
    x_test, y_test = arrays_of(ours, ours.questions.test)
    np.savez(file, x=x.reshape(len(x), -1), y=y, x_test=x_test.reshape(len(x_test), -1), y_test=y_test)
