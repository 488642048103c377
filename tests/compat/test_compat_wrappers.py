from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from memberwise.compat.mia.wrappers import SklearnWrapper, TorchWrapper
from memberwise.errors import TargetError

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 120)
X = RNG.normal(size=(120, 2, 3)) + Y[:, None, None]
HOT = np.eye(3)[Y]


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def test_sklearn_is_the_classifier_itself_on_class_numbers() -> None:
    plain = LogisticRegression().fit(X.reshape(120, 6), Y)
    model = LogisticRegression()
    wrapped = SklearnWrapper(model).fit(X, HOT, verbose=True, validation_split=0.1)
    np.testing.assert_array_equal(wrapped.predict(X), plain.predict_proba(X.reshape(120, 6)))
    np.testing.assert_array_equal(wrapped.predict_proba(X), SklearnWrapper(model).fit(X, Y).predict(X))
    assert not hasattr(model, "classes_")  # it was cloned


def test_sklearn_answers_every_class_of_the_one_hot_labels() -> None:
    some = Y != 1
    answers = SklearnWrapper(RandomForestClassifier(10)).fit(X[some], HOT[some]).predict(X)
    assert answers.shape == (120, 3)
    assert (answers[:, 1] == 0).all()
    np.testing.assert_allclose(answers.sum(1), 1)


def test_sklearn_gets_epochs_batches_seeds_where_it_has_them() -> None:
    network = make_pipeline(StandardScaler(), MLPClassifier((8,)))
    answers = [SklearnWrapper(network, seed).fit(X, HOT, epochs=3, batch_size=16).predict(X) for seed in (1, 1, 2)]
    assert (answers[0] == answers[1]).all()
    assert (answers[0] != answers[2]).any()
    plain = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=3, batch_size=16, random_state=1))
    with pytest.warns(Warning, match="Maximum iterations"):
        plain.fit(X.reshape(120, 6), Y)
    np.testing.assert_array_equal(answers[0], plain.predict_proba(X.reshape(120, 6)))
    own = [SklearnWrapper(MLPClassifier((8,), random_state=7), seed).fit(X, Y, epochs=2) for seed in (1, 2)]
    assert (own[0].predict(X) == own[1].predict(X)).all()


def test_torch_is_a_plain_loop() -> None:
    """Without shuffling and dropout: the same weights as written out here, to the bit."""

    class Made(nn.Linear):
        def __init__(self) -> None:
            super().__init__(6, 3)
            nn.init.constant_(self.weight, 0.1)
            nn.init.zeros_(self.bias)

    def halve(optimizer: torch.optim.Optimizer, epoch: int) -> None:
        optimizer.param_groups[0]["lr"] = 0.1 / 2**epoch

    x = X.reshape(120, 6)
    wrapped = TorchWrapper(Made, nn.CrossEntropyLoss, torch.optim.SGD, None, {"lr": 0.1}, halve, enable_cuda=False)
    wrapped.fit(x, HOT, batch_size=50, epochs=2, shuffle=False, validation_split=0.5)
    net, xs, ys = Made(), torch.tensor(x, dtype=torch.float32), torch.tensor(Y)
    for epoch in range(2):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1 / 2**epoch)
        for rows in (slice(0, 50), slice(50, 100), slice(100, 120)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(xs[rows]), ys[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        np.testing.assert_array_equal(wrapped.predict(x), net(xs).double().softmax(1).numpy())


def test_torch_seeds_and_leaves_the_global_ones_alone() -> None:
    def answers(seed: int, **given: Any) -> Any:
        return TorchWrapper(linear, optimizer_params={"lr": 0.01}, seed=seed).fit(X, HOT, epochs=3, **given).predict(X)

    before = torch.random.get_rng_state()
    first = answers(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    assert (answers(1) == first).all()
    assert (answers(2) != first).any()
    assert (answers(1, batch_size=7) != first).any()
    np.testing.assert_allclose(first.sum(1), 1)
    assert (first == TorchWrapper(linear, optimizer_params={"lr": 0.01}, seed=1).fit(X, Y, epochs=3).predict(X)).all()
    assert (first.argmax(1) == Y).mean() > 0.5


def test_torch_learns_more_when_fitted_again_and_takes_tensors() -> None:
    model = TorchWrapper(linear, optimizer_params={"lr": 0.01}, module_params={})
    losses = []
    for _ in range(3):
        model.fit(torch.tensor(X), torch.tensor(HOT), epochs=5)
        losses.append(-np.log(model.predict(torch.tensor(X))[np.arange(120), Y]).mean())
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (nn.Softmax(1), r"does not give logits.*probabilities.*leave the softmax"),
        (nn.Flatten(0), r"does not give logits.*shape \(360,\)"),
        (nn.Linear(3, 1), r"does not give logits.*shape \(120, 1\).*two outputs"),
    ],
)
def test_torch_modules_that_give_something_else(last: nn.Module, message: str) -> None:
    model = TorchWrapper(lambda: nn.Sequential(linear(), last))
    with pytest.raises(TargetError, match=f"(?s){message}"):
        model.predict(X)
