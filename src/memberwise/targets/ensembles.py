"""Ensembles that are released whole: each model is ``W`` trained modules, which answer for themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from scipy.special import log_softmax, logsumexp

from memberwise.errors import Note, TargetError
from memberwise.models.network import Network, Tensors
from memberwise.store.folder import WORLDS
from memberwise.targets.base import Records, Target
from memberwise.targets.models import TorchModels
from memberwise.types.arrays import Array


class Ensembles(Target):
    """``m`` ensembles of ``W`` trained modules each.

    Where no defence answers from its worlds, an ensemble answers the mean of their probabilities.

    Args:
        models: the modules of all ensembles, ``m * W`` of them, ensemble by ensemble. size: W.
    """

    def __init__(self, models: TorchModels, size: int) -> None:
        if size < 1 or len(models) % size:
            raise ValueError(f"{len(models)} models are no ensembles of {size}")
        self.models, self.size, self.kind = models, size, models.kind

    def __len__(self) -> int:
        return len(self.models) // self.size

    def worlds(self, x: Records) -> Array:
        # One ensemble after the other: activations are those of one, and do not depend on how many stand beside it.
        return np.stack([self.one(i).models.predict(x) for i in range(len(self))])

    def predict(self, x: Records) -> Array:
        return np.stack([self._mean(self.one(i).models.predict(x)) for i in range(len(self))])

    def _mean(self, answers: Array) -> Array:
        """``(n, C)`` of the kind that ``(W, n, C)`` answers are: logits whose softmax is the mean probability."""
        if self.kind != "logits":
            return np.asarray(answers.mean(0))
        return np.asarray(logsumexp(log_softmax(answers.astype(np.float64), axis=-1), axis=0) - np.log(self.size))

    def one(self, i: int) -> Ensembles:
        worlds = slice(i * self.size, (i + 1) * self.size)
        params, buffers = (
            {k: v[worlds] for k, v in part.items()} for part in (self.models.params, self.models.buffers)
        )
        return Ensembles(TorchModels(self.models.network, params, buffers, self.models.stacked), self.size)

    def weights(self) -> Tensors:
        return {**self.models.params, **self.models.buffers}

    def notes(self, name: str) -> list[Note]:
        return self.models.notes(name)


def load_ensemble(path: Path, network: Network, size: int) -> Ensembles:
    """The ensemble that a file holds, in the manner of ``network``, which has its module.

    Raises:
        TargetError: its entries are not those of ``size`` such modules.
    """
    from safetensors.torch import load_file

    params, buffers = network.init(0)
    expected = {name: (size, *value.shape) for name, value in (params | buffers).items()}
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise TargetError(f"{path} cannot be read as weights", found=str(error)[:200]) from error
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    if shapes != expected:
        wrong = sorted(name for name in {*shapes, *expected} if shapes.get(name) != expected.get(name))
        raise TargetError(
            f"the weights in {path} do not fit the architecture",
            expected=f"{wrong[0]} of shape {expected.get(wrong[0], 'none')}",
            found=f"{shapes.get(wrong[0], 'none')}",
            where="model",
        )
    weights, rest = ({name: tensors[name] for name in part} for part in (params, buffers))
    return Ensembles(TorchModels(network, weights, rest, stacked=False), size)


def refuse_ensemble(path: Path) -> None:
    """Refuse a file that holds an ensemble where one model is wanted.

    Raises:
        TargetError: it does.
    """
    try:
        with safe_open(path, "np") as file:
            size = (file.metadata() or {}).get(WORLDS)
    except (OSError, SafetensorError):
        return  # told where it is read
    if size is not None:
        raise TargetError(
            f"{path} holds an ensemble, which is not to answer without its defence",
            expected="the weights of one model",
            found=f"{size} worlds",
            where="target.file",
            fix="audit it as it was trained (training.defence), or ask memberwise.load_target(FOLDER)",
        )
