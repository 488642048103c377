"""Models that answer, and the output defences between them and whoever asks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap

from memberwise.errors import TrainingError
from memberwise.models.network import Network, Tensors
from memberwise.targets.kind import Kind
from memberwise.targets.users_code import users_code
from memberwise.training.estimators import EstimatorModels as EstimatorModels

Records = NDArray[np.float32]
# From a model's number in a stack to the records it was trained on; random numbers, one generator a model.
Members = Callable[[int], Records]
Rngs = Sequence[np.random.Generator]


class Answering(Protocol):
    """``m`` models that answer; ``kind`` says what one answer is."""

    @property
    def kind(self) -> Kind: ...

    def __len__(self) -> int: ...

    def ask(self, x: Records) -> NDArray[Any]:
        """``(m, n, C)`` answers of every model to ``(n, ...)`` records; ``(m, n)`` where ``kind`` is "labels"."""
        ...


@dataclass(frozen=True)
class Ask:
    """Asks models that stand behind something: ``ask(x)`` are their ``(m, n, C)`` answers, of kind ``ask.kind``."""

    models: Answering

    @property
    def kind(self) -> Kind:
        return self.models.kind

    def __len__(self) -> int:
        return len(self.models)

    def __call__(self, x: Records) -> NDArray[Any]:
        return self.models.ask(x)

    def alone(self, i: int) -> Ask:
        """Asks the i-th model only: ``(1, n, C)``."""
        return Ask(alone(self.models, i))


class Answer(Protocol):
    """An output defence: what a model's owner does to its answers, the same for target and shadow models."""

    @property
    def keeps_label(self) -> bool:
        """The largest class never changes."""
        ...

    @property
    def queries(self) -> int:
        """How often it asks the model for one answer."""
        ...

    def gives(self, kind: Kind) -> Kind:
        """The kind of its answers, from the kind it is given.

        Raises:
            StudyError: it can do nothing with that kind.
        """
        ...

    def fit(self, ask: Ask, members: Members, reference: Records | None, rngs: Rngs) -> Sequence[Any] | None:
        """What the defence learns of each of ``m`` models, or None.

        Args:
            members: from a model's number in the stack to the records it was trained on.
            reference: the defender's extra records.
            rngs: random numbers, one generator a model.
        """
        ...

    def answer(self, ask: Ask, x: Records, states: Sequence[Any] | None, keys: Sequence[bytes]) -> NDArray[Any]:
        """Defended ``(m, n, C)`` answers (``(m, n)`` labels); the same input, state and key give the same answer.

        Args:
            states: what ``fit`` gave. keys: ``m`` secrets, one a model: whoever trains shadow models does not know
                the target's.
        """
        ...


class TorchModels:
    """A stack of trained modules, asked in evaluation mode by a float32 forward pass; ``own`` is left by their step."""

    # Records asked at once: bounds the activations of the whole stack.
    CHUNK = 1024

    def __init__(
        self, network: Network, params: Tensors, buffers: Tensors, stacked: bool = True, own: Tensors | None = None
    ) -> None:
        self.network, self.params, self.buffers, self.stacked = network, params, buffers, stacked
        self.own = own or {}

    @property
    def kind(self) -> Kind:
        return self.network.kind

    def __len__(self) -> int:
        return len(next(iter((self.params | self.buffers).values())))

    @torch.no_grad()
    def ask(self, x: Records) -> NDArray[Any]:
        # In equal parts: no single record is left over, at which a careless forward would drop a dimension.
        chunks = torch.tensor_split(torch.from_numpy(x), max(1, math.ceil(len(x) / self.CHUNK)))
        with users_code(f"answering about {len(x):,} records"):
            parts = [self._forward(part.to(self.network.device)).cpu().numpy() for part in chunks]
        return np.concatenate(parts, axis=1)

    def _forward(self, x: Tensor) -> Tensor:
        if self.stacked and len(self) > 1:
            answers: Tensor = vmap(lambda p, b: self.network.answer(p, b, x, None)[0])(self.params, self.buffers)
            return answers
        return torch.stack([self.network.answer(*self._one(i), x.clone(), None)[0] for i in range(len(self))])

    def _one(self, i: int) -> tuple[Tensors, Tensors]:
        return {k: v[i] for k, v in self.params.items()}, {k: v[i] for k, v in self.buffers.items()}


class FunctionModels:
    """What a user's training function returned: predict functions, ``predict(x) -> (n, C)`` logits or probabilities."""

    def __init__(self, predicts: Sequence[Callable[[Records], Any]], kind: Kind) -> None:
        self.predicts, self.kind = predicts, kind

    def __len__(self) -> int:
        return len(self.predicts)

    def ask(self, x: Records) -> NDArray[Any]:
        return np.stack([self._one(predict, x.copy()) for predict in self.predicts])  # some work in place

    @staticmethod
    def _one(predict: Callable[[Records], Any], x: Records) -> NDArray[np.float64]:
        try:
            return np.asarray(predict(x), np.float64)
        except Exception as error:
            raise TrainingError(
                f"the predict function fails on {len(x):,} records",
                expected="an array (records, classes) of logits or probabilities",
                found=f"{type(error).__name__}: {error}",
            ) from error


class Lifted:
    """Models whose answers are no less than a floor of each one's own: 0 where they answer as they do."""

    def __init__(self, models: Answering, floors: NDArray[np.float64]) -> None:
        self.models, self.floors, self.kind = models, floors, models.kind
        self.remarks: tuple[str, ...] = getattr(models, "remarks", ())

    def __len__(self) -> int:
        return len(self.models)

    def ask(self, x: Records) -> NDArray[Any]:
        return np.asarray(np.maximum(self.models.ask(x), self.floors[:, None, None]))


class Served:
    """Models behind output defences, applied in order."""

    def __init__(
        self,
        models: Answering,
        defences: Sequence[Answer],
        states: Sequence[Sequence[Any] | None],
        keys: Sequence[bytes],
    ) -> None:
        self.models, self.defences, self.states, self.keys = models, defences, states, keys
        kind = models.kind
        for defence in defences:
            kind = defence.gives(kind)
        self.kind: Kind = kind

    @classmethod
    def fitted(
        cls,
        models: Answering,
        defences: Sequence[Answer],
        members: Members,
        reference: Records | None,
        key: bytes,
        seeds: Sequence[int],
    ) -> Served:
        """The models behind defences that learn from each one's own members; see ``Answer.fit``.

        Args:
            key: the study's secret; each model gets its own, made from it and the model's seed.
        """
        keys = [hashlib.blake2b(str(seed).encode(), digest_size=32, key=key[:64]).digest() for seed in seeds]
        served = cls(models, (), (), keys)
        for number, defence in enumerate(defences):
            rngs = [np.random.default_rng([number, *np.frombuffer(k, np.uint32)]) for k in keys]
            states = defence.fit(Ask(served), members, reference, rngs)
            served = cls(models, defences[: number + 1], [*served.states, states], keys)
        return served

    def __len__(self) -> int:
        return len(self.models)

    def ask(self, x: Records) -> NDArray[Any]:
        if not self.defences:
            return self.models.ask(x)
        return self.defences[-1].answer(Ask(self.inner), x, self.states[-1], self.keys)

    @property
    def inner(self) -> Served:
        """The models behind all defences but the last."""
        return Served(self.models, self.defences[:-1], self.states[:-1], self.keys)


def alone(models: Answering, i: int) -> Answering:
    """The i-th of several models, by itself."""
    if isinstance(models, TorchModels):
        params, buffers = ({k: v[i : i + 1] for k, v in part.items()} for part in (models.params, models.buffers))
        return TorchModels(models.network, params, buffers, models.stacked)
    if isinstance(models, EstimatorModels):
        return models.of(slice(i, i + 1))
    if isinstance(models, FunctionModels):
        return FunctionModels(models.predicts[i : i + 1], models.kind)
    if isinstance(models, Lifted):
        return Lifted(alone(models.models, i), models.floors[i : i + 1])
    if isinstance(models, Served):
        states = [None if state is None else state[i : i + 1] for state in models.states]
        return Served(alone(models.models, i), models.defences, states, models.keys[i : i + 1])
    if len(models) > 1:
        raise TypeError(f"{type(models).__name__} cannot be taken apart")
    return models


def kind_of_answers(values: NDArray[Any]) -> Kind:
    """ "probabilities" where every row is non-negative and sums to 1, but for rounding, else "logits".

    Half of the rows must do so to 0.001, and all to 0.1: single precision loses that much in a naive Bayes model.
    """
    off = np.abs(values.sum(-1) - 1)
    if values.min() >= -1e-6 and np.median(off) <= 1e-3 and off.max() <= 0.1:
        return "probabilities"
    return "logits"
