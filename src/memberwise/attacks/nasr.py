"""Nasr's supervised attack: a network trained on records of which the attacker knows whether they are members."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.base import Attack, Needs
from memberwise.signals.read import probability_vectors
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats, Floats32
from memberwise.types.foreign import Estimator

EPOCHS, BATCH, RATE = 50, 32, 1e-3


def score(signals: Signals, rng: np.random.Generator) -> Floats:
    """Nasr, Shokri and Houmansadr 2018, "Machine learning with membership privacy using adversarial regularization".

    The attack which adversarial regularisation defends against: h(answer, one-hot label), trained on the target's own
    answers about revealed records. The score is its log-odds of "member". HIGHER = MORE LIKELY A MEMBER. More revealed
    records make it stronger. Layers are those of the authors' code for Texas-100 (answer C-512-64, label C-64, both
    128-64-1, ReLU), it reads probabilities as there: with logarithms it learns noise (AUC 0.63 instead of 0.81 on
    Location-30, 0.515 instead of 0.571 on MNIST, 500 revealed records). Ours: torch's initialisation, Adam at 1e-3, 50
    passes, and the network as it is at the end (the release keeps the pass that is best on the evaluated records).
    NaN for the revealed records.

    Returns:
        ``(n,)`` float64.
    """
    if signals.known is None:
        raise ValueError("no membership is revealed")
    answers = probability_vectors(signals.target)[0]
    labels = np.eye(answers.shape[1])[signals.labels]
    inputs = np.stack([answers, labels], 1).astype(np.float32)
    hidden, result = np.isnan(signals.known), np.full(signals.records, np.nan)
    result[hidden] = _trained(inputs[~hidden], signals.known[~hidden], rng)(inputs[hidden])
    return result


def _trained(inputs: Floats32, member: Floats, rng: np.random.Generator) -> Estimator:
    """Train on ``(r, 2, C)`` inputs; returns a function from inputs to ``(n,)`` log-odds."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        network = _network(inputs.shape[-1])
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    x, y = torch.from_numpy(inputs), torch.from_numpy(member.astype(np.float32))
    # Members and non-members weigh alike, however many of each were revealed.
    weight = torch.where(y == 1, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    for _ in range(EPOCHS):
        for rows in torch.split(torch.from_numpy(rng.permutation(len(x))), BATCH):
            optimiser.zero_grad()
            binary_cross_entropy_with_logits(network(x[rows])[:, 0], y[rows], weight[rows]).backward()
            optimiser.step()

    def log_odds(values: Floats32) -> Floats:
        with torch.no_grad():
            parts = [network(part)[:, 0].double().numpy() for part in torch.split(torch.from_numpy(values), 4096)]
        return np.concatenate(parts)

    return log_odds


def _network(classes: int) -> Estimator:
    from torch import Tensor, nn

    class ThreeBranches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.answer = nn.Sequential(nn.Linear(classes, 512), nn.ReLU(), nn.Linear(512, 64), nn.ReLU())
            self.label = nn.Sequential(nn.Linear(classes, 64), nn.ReLU())
            self.both = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1))

        def forward(self, x: Tensor) -> Tensor:
            import torch

            both: Tensor = self.both(torch.cat([self.answer(x[:, 0]), self.label(x[:, 1])], 1))
            return both

    return ThreeBranches()


ATTACK = Attack(
    name="nasr",
    score=score,
    needs=Needs(vectors=True, known=True),
    source="Nasr, Shokri & Houmansadr 2018",
    summary="A network on answer and label, trained on records whose membership is revealed to the attacker.",
    threshold=0.0,
    threshold_from="revealed",
    default=False,
)
