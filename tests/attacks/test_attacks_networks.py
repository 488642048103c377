"""Small networks trained side by side: their gradients against torch, what they learn against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

from memberwise.attacks import networks
from memberwise.attacks.networks import fit_networks


def test_gradients_are_torchs() -> None:
    """Two networks, one with padded rows: cross-entropy over real rows, half the squared weights over their number."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(2, *shape)).astype(np.float32) for shape in ((5, 64), (1, 64), (64, 1), (1, 1))]
    x = rng.normal(size=(2, 6, 5)).astype(np.float32)
    y = rng.integers(0, 2, (2, 6, 1)).astype(np.float32)
    real = np.ones((2, 6, 1), np.float32)
    real[1, 4:] = 0
    leaves = [torch.tensor(part, requires_grad=True) for part in weights]
    hidden = torch.relu(torch.tensor(x) @ leaves[0] + leaves[1])
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        hidden @ leaves[2] + leaves[3], torch.tensor(y), reduction="none"
    )
    rows = torch.tensor(real).sum((1, 2))
    decay = sum(leaves[k].square().sum((1, 2)) for k in (0, 2)) * networks.DECAY / 2
    total = (((losses * torch.tensor(real)).sum((1, 2)) + decay) / rows).sum()
    expected = torch.autograd.grad(total, leaves)
    for found, wanted in zip(networks._gradients(weights, x, y, real), expected, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=2e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_networks_learn_what_scikit_learns_do() -> None:
    """Six problems of unlike sizes, of which no line tells the sides apart: held-out AUC, the mean over problems."""
    rng = np.random.default_rng(1)
    sizes = (150, 190, 250, 390, 420, 777)

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(n, 4)) * [1, 10, 0.1, 1] + 5
        centred = (x - 5) / [1, 10, 0.1, 1]
        return x, (centred[:, 0] * centred[:, 1] + rng.normal(size=n) > 0).astype(np.int8)

    lessons, held = [drawn(n) for n in sizes], drawn(3000)
    ours = [roc_auc_score(held[1], judge(held[0])) for judge in fit_networks(lessons, np.random.default_rng(0))]
    theirs = []
    for x, y in lessons:
        mean, scale = x.mean(0), x.std(0)
        mlp = MLPClassifier((64,), max_iter=30, learning_rate_init=3e-3, alpha=1e-3, random_state=0, tol=0.0)
        mlp.set_params(n_iter_no_change=100).fit((x - mean) / scale, y)
        theirs.append(roc_auc_score(held[1], mlp.predict_proba((held[0] - mean) / scale)[:, 1]))
    assert np.mean(ours) > 0.6
    assert abs(np.mean(ours) - np.mean(theirs)) < 0.02


def test_a_network_is_the_same_whatever_is_asked_of_it_at_once() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(120, 3)), (np.arange(120) % 2).astype(np.int8)
    [judge] = fit_networks([(x, y)], np.random.default_rng(0))
    np.testing.assert_allclose(judge(x)[:5], judge(x[:5]), rtol=1e-12)
    assert ((judge(x) > 0) & (judge(x) < 1)).all()
