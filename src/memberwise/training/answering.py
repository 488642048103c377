"""Models that answer, and the output defences between them and whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap

from memberwise.training.kind import Kind
from memberwise.training.network import Network, Tensors

Records = NDArray[np.float32]
Ask = Callable[[Records], NDArray[Any]]


class Answering(Protocol):
    """``m`` models that answer; ``kind`` says what one answer is."""

    @property
    def kind(self) -> Kind: ...

    def __len__(self) -> int: ...

    def ask(self, x: Records) -> NDArray[Any]:
        """``(m, n, C)`` answers of every model to ``(n, ...)`` records; ``(m, n)`` where ``kind`` is "labels"."""
        ...


class Answer(Protocol):
    """An output defence: what a model's owner does to its answers, the same for target and shadow models.

    Attributes:
        gives: the kind of its answers, from the kind it is given.
        keeps_label: the largest class never changes.
        queries: how often it asks the model for one answer.
    """

    keeps_label: bool
    queries: int

    def gives(self, kind: Kind) -> Kind: ...

    def fit(self, ask: Ask, members: Records, reference: Records | None, rng: np.random.Generator) -> Any:
        """What the defence learns for these models (state by model), or None."""
        ...

    def answer(self, ask: Ask, x: Records, state: Any, key: bytes) -> NDArray[Any]:
        """Defended ``(m, n, C)`` answers; the same input, state and key always give the same answer."""
        ...


class TorchModels:
    """A stack of trained modules, asked in evaluation mode by a float32 forward pass."""

    kind: Kind = "logits"
    # Records asked at once: bounds the activations of the whole stack.
    CHUNK = 1024

    def __init__(self, network: Network, params: Tensors, buffers: Tensors, stacked: bool = True) -> None:
        self.network, self.params, self.buffers, self.stacked = network, params, buffers, stacked

    def __len__(self) -> int:
        return len(next(iter(self.params.values())))

    @torch.no_grad()
    def ask(self, x: Records) -> NDArray[Any]:
        chunks = torch.split(torch.from_numpy(x), self.CHUNK)
        parts = [self._forward(part.to(self.network.device)).cpu().numpy() for part in chunks]
        return np.concatenate(parts, axis=1)

    def _forward(self, x: Tensor) -> Tensor:
        if self.stacked and len(self) > 1:
            answers: Tensor = vmap(lambda p, b: self.network(p, b, x, None)[0])(self.params, self.buffers)
            return answers
        return torch.stack([self.network(*self._one(i), x, None)[0] for i in range(len(self))])

    def _one(self, i: int) -> tuple[Tensors, Tensors]:
        return {k: v[i] for k, v in self.params.items()}, {k: v[i] for k, v in self.buffers.items()}


class EstimatorModels:
    """Fitted scikit-learn classifiers; answers are aligned to all classes, also where one was not seen in training."""

    def __init__(self, estimators: Sequence[Any], classes: int) -> None:
        self.estimators, self.classes = estimators, classes
        self.kind: Kind = "probabilities" if hasattr(estimators[0], "predict_proba") else "labels"

    def __len__(self) -> int:
        return len(self.estimators)

    def ask(self, x: Records) -> NDArray[Any]:
        flat = x.reshape(len(x), -1)
        if self.kind == "labels":
            return np.stack([np.asarray(e.predict(flat), np.int64) for e in self.estimators])
        answers = np.zeros((len(self), len(x), self.classes))
        for i, estimator in enumerate(self.estimators):
            answers[i][:, np.asarray(estimator.classes_, np.intp)] = estimator.predict_proba(flat)
            # A forest of k trees cannot answer less than 1/k but 0; as a logarithm that 0 would drown all else.
            answers[i][answers[i] == 0] = 0.5 / max(getattr(estimator, "n_estimators", 100), 1)
        return answers


class FunctionModels:
    """What a user's training function returned: predict functions, ``predict(x) -> (n, C)`` logits or probabilities."""

    def __init__(self, predicts: Sequence[Callable[[Records], Any]], kind: Kind) -> None:
        self.predicts, self.kind = predicts, kind

    def __len__(self) -> int:
        return len(self.predicts)

    def ask(self, x: Records) -> NDArray[Any]:
        return np.stack([np.asarray(predict(x), np.float64) for predict in self.predicts])


class Served:
    """Models behind output defences, applied in order."""

    def __init__(self, models: Answering, defences: Sequence[Answer], states: Sequence[Any], key: bytes) -> None:
        self.models, self.defences, self.states, self.key = models, defences, states, key
        kind = models.kind
        for defence in defences:
            kind = defence.gives(kind)
        self.kind: Kind = kind

    def __len__(self) -> int:
        return len(self.models)

    def ask(self, x: Records) -> NDArray[Any]:
        return self.through(len(self.defences))(x)

    def through(self, count: int) -> Ask:
        """Asks through the first ``count`` defences."""
        if count == 0:
            return self.models.ask
        inner, defence, state = self.through(count - 1), self.defences[count - 1], self.states[count - 1]
        return lambda x: defence.answer(inner, x, state, self.key)


def alone(models: Answering, i: int) -> Answering:
    """The i-th of several models, by itself."""
    if isinstance(models, TorchModels):
        params, buffers = ({k: v[i : i + 1] for k, v in part.items()} for part in (models.params, models.buffers))
        return TorchModels(models.network, params, buffers, models.stacked)
    if isinstance(models, EstimatorModels):
        return EstimatorModels(models.estimators[i : i + 1], models.classes)
    if isinstance(models, FunctionModels):
        return FunctionModels(models.predicts[i : i + 1], models.kind)
    if len(models) > 1:
        raise TypeError(f"{type(models).__name__} cannot be taken apart")
    return models


def kind_of_answers(values: NDArray[Any]) -> Kind:
    """ "probabilities" where every row is non-negative and sums to 1, else "logits"."""
    if values.min() >= 0 and np.allclose(values.sum(-1), 1.0, atol=1e-3):
        return "probabilities"
    return "logits"
