"""Nasr's inference network as tensors of a step: three branches, their gradient by ``torch.func``, Adam."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from memberwise.models.network import Tensors
from memberwise.models.randomness import fold, normal

Size = Literal["texas", "purchase", "alexnet"]
# Hidden layers of the branch for the answer, of the one for the label, and of what joins them (the authors' code).
LAYERS: dict[Size, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "texas": ((512, 64), (64,), (64,)),
    "purchase": ((1024, 512, 64), (128, 64), (512, 256, 128, 64)),
    "alexnet": ((1024, 512, 64), (128, 64), (256, 128, 64)),
}


class InferenceNetwork:
    """h(answer, label): log-odds that a record is a member.

    Nasr, Shokri and Houmansadr 2018, "Machine learning with membership privacy using adversarial regularization",
    section 4; layer sizes from the authors' code for the data set named. ReLU. Weights start as He et al. 2015 have
    it: with the release's N(0, 0.01^2) the deeper branches answer the same for everybody for hundreds of steps.
    """

    def __init__(self, classes: int, size: Size) -> None:
        answer, label, joined = LAYERS[size]
        self.branches = {
            "answer": (classes, *answer),
            "label": (classes, *label),
            "joined": (answer[-1] + label[-1], *joined, 1),
        }

    def init(self, key: Tensor) -> Tensors:
        """Fresh parameters; the same key gives the same.

        Args:
            key: ``()``.
        """
        params: Tensors = {}
        for branch, widths in self.branches.items():
            for i, (ins, outs) in enumerate(pairwise(widths)):
                params[f"{branch}.{i}.weight"] = normal(fold(key, len(params)), (outs, ins)) * (2 / ins) ** 0.5
                params[f"{branch}.{i}.bias"] = torch.zeros(outs, device=key.device)
        return params

    def __call__(self, params: Tensors, answers: Tensor, labels: Tensor) -> Tensor:
        """``(n,)`` log-odds from ``(n, classes)`` answers and one-hot labels."""
        both = torch.cat([self._run("answer", params, answers), self._run("label", params, labels)], -1)
        return self._run("joined", params, both).squeeze(-1)

    def _run(self, branch: str, params: Tensors, h: Tensor) -> Tensor:
        last = len(self.branches[branch]) - 2
        for i in range(last + 1):
            h = torch.nn.functional.linear(h, params[f"{branch}.{i}.weight"], params[f"{branch}.{i}.bias"])
            h = h if branch == "joined" and i == last else torch.relu(h)
        return h


def adam_start(params: Tensors) -> Tensors:
    """The state of Adam for these parameters: moments and the number of steps."""
    zeros = {f"{moment}.{name}": torch.zeros_like(value) for moment in ("m", "v") for name, value in params.items()}
    return {**zeros, "steps": torch.zeros((), device=next(iter(params.values())).device)}


def adam(params: Tensors, gradient: Tensors, state: Tensors, rate: float) -> tuple[Tensors, Tensors]:
    """One step of Adam (Kingma and Ba 2015, algorithm 1, its own constants), out of place."""
    steps = state["steps"] + 1
    after, moved = {"steps": steps}, Tensors()
    for name, value in params.items():
        m = after[f"m.{name}"] = 0.9 * state[f"m.{name}"] + 0.1 * gradient[name]
        v = after[f"v.{name}"] = 0.999 * state[f"v.{name}"] + 0.001 * gradient[name].square()
        moved[name] = value - rate * (m / (1 - 0.9**steps)) / ((v / (1 - 0.999**steps)).sqrt() + 1e-8)
    return moved, after
