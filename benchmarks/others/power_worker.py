"""A tool's side of the comparison of whole processes: ``python power_TOOL.py TASK MODELS OUT``.

TASK is a folder that the driver made: ``records.npz`` (``x``, ``y``, ``member``, and the attacker's ``world_x``,
``world_y``), ``settings.json`` and the target's parameters. OUT gets the scores of the audited records, higher for
members, by the name of each attack; one process trains its shadow models once.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import random
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from power_models import Net

Scores = dict[str, Any]


class Task:
    """What the driver gives.

    Attributes:
        x: ``(n, ...)`` float32. y: ``(n,)`` int64. member: ``(n,)`` of the target. world_x, world_y: nobody's records.
        kind: "mlp", "cnn" or "forest". epochs, classes, seed: numbers.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        arrays = np.load(folder / "records.npz")
        self.x, self.y, self.member = arrays["x"], arrays["y"], arrays["member"]
        self.world_x, self.world_y = arrays["world_x"], arrays["world_y"]
        settings = json.loads((folder / "settings.json").read_text())
        self.kind, self.epochs = settings["kind"], settings["epochs"]
        self.classes, self.seed = settings["classes"], settings["seed"]

    def fresh(self) -> Net:
        return Net(self.kind, self.x.shape[1:], self.classes)

    def target(self) -> Any:
        """The trained target: a network, or a forest as this environment fits it from the task's seed."""
        if self.kind == "forest":
            from power_models import forest

            return forest(self.seed).fit(self.x[self.member], self.y[self.member])
        import torch

        net = self.fresh()
        net.load_state_dict({k: torch.from_numpy(v) for k, v in np.load(self.folder / "target.npz").items()})
        return net.eval()


def attacked(package: str, attack: Callable[[Task, int], Scores], kinds: tuple[str, ...]) -> None:
    """Carry out what the command line asks; a task of another kind than these is not for the tool."""
    folder, models, out = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    task = Task(folder)
    if task.kind not in kinds:
        out.with_suffix(".json").write_text(json.dumps({"not_for": f"it takes no {task.kind}"}))
        return
    random.seed(task.seed)
    np.random.seed(task.seed)  # noqa: NPY002  the tools draw from it
    if task.kind != "forest":
        import torch

        torch.manual_seed(task.seed)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        scores = attack(task, models)
    np.savez(out, allow_pickle=False, **{name: np.asarray(values, np.float64) for name, values in scores.items()})
    out.with_suffix(".json").write_text(json.dumps({"version": importlib.metadata.version(package)}))
