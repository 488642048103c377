"""Trained modules and predict functions, asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from memberwise.errors import Note, TargetError, TrainingError
from memberwise.models.ending import ending_notes
from memberwise.models.network import Network, Tensors
from memberwise.models.one_logit import Number, number_kind, two_columns
from memberwise.targets.base import Kind, Records, Target
from memberwise.targets.user_errors import wrap_user_errors
from memberwise.types.arrays import Array, Floats, Floats32


class TorchModels(Target):
    """A stack of trained modules, asked in evaluation mode by a float32 forward pass.

    Attributes:
        own: left by their step. traces: ``(m, q, rows)`` quantiles of losses, where their training was traced; or None.
    """

    # Records asked at once: bounds the activations of the whole stack.
    CHUNK = 1024

    def __init__(
        self,
        network: Network,
        params: Tensors,
        buffers: Tensors,
        stacked: bool = True,
        own: Tensors | None = None,
        traces: Floats32 | None = None,
        early: Sequence[TorchModels] = (),
    ) -> None:
        self.network, self.params, self.buffers, self.stacked = network, params, buffers, stacked
        self.traces, self.early = traces, early
        self.own = own or {}
        self.kind = network.kind

    def __len__(self) -> int:
        return len(next(iter((self.params | self.buffers).values())))

    @torch.no_grad()
    def predict(self, x: Records) -> Array:
        # In equal parts: no single record is left over, at which a careless forward would drop a dimension.
        chunks = torch.tensor_split(torch.from_numpy(x), max(1, math.ceil(len(x) / self.CHUNK)))
        with wrap_user_errors(f"answering about {len(x):,} records"):
            parts = [self._forward(part.to(self.network.device)).cpu().numpy() for part in chunks]
        return np.concatenate(parts, axis=1)

    def one(self, i: int) -> TorchModels:
        params, buffers = ({k: v[i : i + 1] for k, v in part.items()} for part in (self.params, self.buffers))
        return TorchModels(self.network, params, buffers, self.stacked)

    @property
    def white_box(self) -> TorchModels:
        return self

    def weights(self) -> Tensors:
        return {name: value[0] for name, value in (self.params | self.buffers).items()}

    def notes(self, name: str) -> list[Note]:
        return ending_notes(name, self.network)

    def _forward(self, x: Tensor) -> Tensor:
        if self.stacked and len(self) > 1:
            answers: Tensor = vmap(lambda p, b: self.network.answer(p, b, x, None)[0])(self.params, self.buffers)
            return answers
        return torch.stack([self.network.answer(*self._one(i), x.clone(), None)[0] for i in range(len(self))])

    def _one(self, i: int) -> tuple[Tensors, Tensors]:
        return {k: v[i] for k, v in self.params.items()}, {k: v[i] for k, v in self.buffers.items()}


class FunctionModels(Target):
    """What a user's training function returned: predict functions, ``predict(x) -> (n, C)`` logits or probabilities."""

    def __init__(self, predicts: Sequence[Callable[[Records], object]], kind: Kind) -> None:
        self.predicts, self.kind = predicts, kind

    def __len__(self) -> int:
        return len(self.predicts)

    def predict(self, x: Records) -> Array:
        return np.stack([self._one(predict, x.copy()) for predict in self.predicts])  # some work in place

    def one(self, i: int) -> FunctionModels:
        return FunctionModels(self.predicts[i : i + 1], self.kind)

    @staticmethod
    def _one(predict: Callable[[Records], object], x: Records) -> Floats:
        try:
            return np.asarray(predict(x), np.float64)
        except Exception as error:
            raise TrainingError(
                f"the predict function fails on {len(x):,} records",
                expected="an array (records, classes) of logits or probabilities",
                found=f"{type(error).__name__}: {error}",
                fix="return a function of arrays: lambda x: module(torch.as_tensor(x)).detach()"
                if isinstance(predict, torch.nn.Module)
                else None,
            ) from error


class OneNumber:
    """A function of two classes that answers one number a record, as one that answers about both.

    Args:
        predict: answers ``(n,)`` or ``(n, 1)``. kind: what the number is, by answers about some records.
    """

    def __init__(self, predict: Callable[[Records], object], kind: Number) -> None:
        self.predict, self.kind = predict, kind

    def __call__(self, x: Records) -> Floats:
        answers = self.predict(x)
        values = np.asarray(answers.detach().cpu() if isinstance(answers, torch.Tensor) else answers, np.float64)
        if self.kind == "probabilities" and number_kind(values) == "logits":
            raise TargetError(
                "the one number that a function answers is a probability about some records and none about others",
                expected="probabilities of the second class, within 0 and 1, or logits",
                found=f"{values.min():g} to {values.max():g}",
                fix="answer a number for each class: (0, z) of a logit z",
            )
        return np.asarray(two_columns(values, self.kind), np.float64)


class Lifted(Target):
    """Models whose answers are no less than a floor of each one's own: 0 where they answer as they do."""

    def __init__(self, models: Target, floors: Floats) -> None:
        self.models, self.floors, self.kind = models, floors, models.kind
        self.remarks = models.remarks

    def __len__(self) -> int:
        return len(self.models)

    def predict(self, x: Records) -> Array:
        return np.asarray(np.maximum(self.models.predict(x), self.floors[:, None, None]))

    def worlds(self, x: Records) -> Array | None:
        answers = self.models.worlds(x)
        return None if answers is None else np.asarray(np.maximum(answers, self.floors[:, None, None, None]))

    def one(self, i: int) -> Lifted:
        return Lifted(self.models.one(i), self.floors[i : i + 1])
