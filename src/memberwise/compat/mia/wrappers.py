"""scikit-learn classifiers and torch modules as ``mia`` wants models: fit on one-hot labels, answer probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from memberwise.compat.mia.labels import class_numbers
from memberwise.errors import TargetError
from memberwise.seeds import Seeds
from memberwise.types.arrays import Array, Floats
from memberwise.types.foreign import Estimator, Values

# So many records are asked about at once.
ASKED = 1024


class SklearnWrapper:
    """A scikit-learn classifier with ``predict_proba``.

    Args:
        classifier: unfitted; it is cloned.
        seed: for every ``random_state`` in it (of a pipeline's steps, too) that has no value of its own.
    """

    def __init__(self, classifier: Estimator, seed: int = 0) -> None:
        self.classifier, self.seed = classifier, seed

    def fit(
        self,
        X: Values,
        y: Values,
        epochs: int | None = None,
        batch_size: int | None = None,
        validation_split: float | None = None,
        validation_data: object = None,
        verbose: object = False,
    ) -> SklearnWrapper:
        """Train on all of ``X`` ``(n, ...)``, flattened, and ``y`` ``(n, C)`` one-hot or ``(n,)`` class numbers.

        ``epochs`` and ``batch_size`` are given on as ``max_iter`` and ``batch_size`` where the classifier has those;
        nothing is held out or printed, whatever the last three say.
        """
        from sklearn.base import clone
        from sklearn.exceptions import ConvergenceWarning

        numbers, self.classes_ = class_numbers(y, "y")
        self.classifier_ = clone(self.classifier)
        parameters = {"max_iter": epochs, "batch_size": batch_size}
        for name, value in self.classifier_.get_params().items():
            key = name.rpartition("__")[2]
            if key == "random_state" and value is None:
                self.classifier_.set_params(**{name: self.seed % 2**32})
            elif parameters.get(key) is not None:
                self.classifier_.set_params(**{name: parameters[key]})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of passes is the caller's
            self.classifier_.fit(_flat(X), numbers)
        return self

    def predict(self, X: Values) -> Floats:
        """``(n, C)`` probabilities; 0 for a class of which it has seen no record."""
        result = np.zeros((len(X), self.classes_))
        result[:, self.classifier_.classes_] = self.classifier_.predict_proba(_flat(X))
        return result

    predict_proba = predict


class TorchWrapper:
    """A torch module that gives logits ``(n, C)``, C of 2 or more.

    Args:
        module: class (or function) that makes it, called with ``module_params``.
        criterion: class of a loss of (logits, class numbers), such as ``nn.CrossEntropyLoss``.
        optimizer: class, called with the parameters and ``optimizer_params``.
        lr_scheduler: called with (optimizer, epoch) before every epoch.
        enable_cuda: use a GPU where there is one.
        seed: of initial weights, order and dropout. torch's own random numbers stay as they were.
    """

    def __init__(
        self,
        module: Callable[..., nn.Module],
        criterion: Callable[[], Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = nn.CrossEntropyLoss,
        optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
        module_params: Mapping[str, object] | None = None,
        optimizer_params: Mapping[str, object] | None = None,
        lr_scheduler: Callable[[torch.optim.Optimizer, int], object] | None = None,
        enable_cuda: bool = True,
        seed: int = 0,
    ) -> None:
        self.device = torch.device("cuda" if enable_cuda and torch.cuda.is_available() else "cpu")
        self.seed, self.lr_scheduler, self.criterion_ = seed, lr_scheduler, criterion()
        with self._random("init"):
            self.module_ = module(**(module_params or {})).to(self.device)
        self.optimizer_ = optimizer(self.module_.parameters(), **(optimizer_params or {}))

    def fit(
        self,
        X: Values,
        y: Values,
        batch_size: int = 32,
        epochs: int = 20,
        shuffle: bool = True,
        validation_split: float | None = None,
        validation_data: object = None,
        verbose: object = False,
    ) -> TorchWrapper:
        """Train on all of ``X`` ``(n, ...)``, as float32, and ``y`` ``(n, C)`` one-hot or ``(n,)`` class numbers.

        Nothing is held out or printed, whatever the last three say.
        """
        x = torch.tensor(np.asarray(X), dtype=torch.float32, device=self.device)
        numbers = torch.tensor(class_numbers(y, "y")[0], device=self.device)
        self.module_.train()
        with self._random("fit"):
            for epoch in range(epochs):
                if self.lr_scheduler is not None:
                    self.lr_scheduler(self.optimizer_, epoch)
                order = torch.randperm(len(x)) if shuffle else torch.arange(len(x))
                order = order.to(self.device)
                for rows in (order[i : i + batch_size] for i in range(0, len(x), batch_size)):
                    self.optimizer_.zero_grad()
                    self.criterion_(self.module_(x[rows]), numbers[rows]).backward()
                    self.optimizer_.step()
        return self

    @torch.no_grad()
    def predict(self, X: Values) -> Floats:
        """``(n, C)`` probabilities: the softmax of the module's logits, in float64.

        Raises:
            TargetError: the module gives something else than logits of two classes or more.
        """
        self.module_.eval()
        x = torch.tensor(np.asarray(X), dtype=torch.float32, device=self.device)
        logits = torch.cat([self.module_(x[i : i + ASKED]) for i in range(0, len(x), ASKED)]).double().cpu()
        if logits.ndim != 2 or logits.shape[1] < 2:
            raise _no_logits(f"shape {tuple(logits.shape)}", "two outputs for a binary classifier")
        if bool((logits >= 0).all() and (logits.sum(1) - 1).abs().max() < 1e-5):
            raise _no_logits("probabilities", "leave the softmax at its end out: the loss has one already")
        return np.asarray(logits.softmax(1))

    predict_proba = predict

    @contextmanager
    def _random(self, purpose: str) -> Iterator[None]:
        """Inside, torch's random numbers come from our seed; outside they go on as if nothing had been."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(Seeds(self.seed).integer(purpose))
            yield


def _flat(X: Values) -> Array:
    return np.asarray(X).reshape(len(X), -1)


def _no_logits(problem: str, fix: str) -> TargetError:
    return TargetError(
        "the module does not give logits", expected="(n, classes)", found=problem, where="module", fix=fix
    )
