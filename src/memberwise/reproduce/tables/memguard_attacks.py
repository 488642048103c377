"""The attacks of MemGuard's evaluations, each learnt from one table of answers and carried out on another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from memberwise.attacks.classwise import best_threshold
from memberwise.attacks.in_out import training_table
from memberwise.attacks.thresholds import Signal, entropy, loss, mentr
from memberwise.signals.read import probability_vectors, read_answers
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Floats, Floats32, Ints, Mask

# The evaluation's metrics; its confidence is that of the true class, which its logarithm orders alike.
METRICS: Mapping[str, Signal] = {"confidence": loss, "entropy": entropy, "modified entropy": mentr}
# MemGuard's attacker reads sorted answers (the authors' code).
HIDDEN, RATE, BATCH, EPOCHS, SLOWER = (512, 256, 128), 0.01, 64, 400, 300
HALF = 0.5


@dataclass(frozen=True)
class Known:
    """Answers of one model about ``(n,)`` records: labels, and which of them it trained on."""

    answers: Answers
    labels: Ints
    member: Mask

    def of(self, rows: Mask) -> Known:
        """Those of the rows, an ``(n,)`` choice."""
        places = np.flatnonzero(rows)
        return Known(self.answers.of_records(places), self.labels[rows], self.member[rows])


def shadows_known(signals: Signals) -> list[Known]:
    """What each shadow model whose full answers are kept tells an attacker."""
    answers, labels, trained_on = training_table(signals)
    count = 0 if answers.vectors is None else len(answers.vectors)
    return [Known(answers.of_models(np.array([k])), labels, trained_on[k] == 1) for k in range(count)]


def saved(file: Path, defended: bool, labels: Ints) -> Known:
    """The answers that were published with MemGuard's evaluation: members first, as many non-members after them.

    Args:
        labels: ``(n,)``.
    """
    with np.load(file) as kept:
        values = kept["defense_output" if defended else "tc_output"].astype(np.float64)
    member = np.arange(len(values)) < len(values) // 2
    answers = read_answers(values[None, :, None, :], labels, "probabilities", precision=np.float64)
    return Known(answers, labels, member)


def by_class(signal: Signal, learned: list[Known], target: Known) -> Mask:
    """``(n,)`` who is called a member: at least the threshold of its class, the best on what was learned from.

    Song and Mittal 2021; a class without members or without others there has the threshold of all records.
    """
    values = np.concatenate([signal(known.answers, known.labels)[0] for known in learned])
    labels = np.concatenate([known.labels for known in learned])
    member = np.concatenate([known.member for known in learned])
    tau = {}
    for label in np.unique(target.labels):
        rows = labels == label
        rows = rows if member[rows].any() and not member[rows].all() else np.ones_like(rows)
        tau[label] = best_threshold(values[rows & member], values[rows & ~member])
    return np.asarray(signal(target.answers, target.labels)[0] >= np.array([tau[label] for label in target.labels]))


def neural(learned: Known, target: Known, rng: np.random.Generator, epochs: int = EPOCHS) -> Mask:
    """``(n,)`` whom MemGuard's attacker calls members: a network on sorted answers, taught by one shadow model."""
    network = _taught(_sorted(learned.answers), learned.member, rng, epochs)
    return network(_sorted(target.answers)) > 0


def right(called: Mask, member: Mask) -> float:
    """Attack accuracy, members and others weighing alike.

    Args:
        called, member: ``(n,)``.
    """
    return HALF * float(called[member].mean() + (~called[~member]).mean())


def gap(target: Known) -> float:
    """The accuracy of calling members those that are answered right."""
    return right(target.answers.correct[0, :, 0], target.member)


def _sorted(answers: Answers) -> Floats32:
    return np.sort(probability_vectors(answers)[0], -1).astype(np.float32)


def _taught(x: Floats32, member: Mask, rng: np.random.Generator, epochs: int) -> Callable[[Floats32], Floats]:
    """The attacker's network, from answers to log-odds: descent at 0.01 (a tenth of it from epoch 300 on)."""
    import torch
    from torch import nn

    from memberwise.models.threads import threads_of

    with torch.random.fork_rng(devices=[]), threads_of(1):
        torch.manual_seed(int(rng.integers(2**63)))
        layers: list[nn.Module] = []
        for size, out in pairwise((x.shape[1], *HIDDEN, 1)):
            linear = nn.Linear(size, out)
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.ReLU()]
        network = nn.Sequential(*layers[:-1])
        inputs, truth = torch.from_numpy(x), torch.from_numpy(member.astype(np.float32))
        optimiser = torch.optim.SGD(network.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [SLOWER], 0.1)
        for _ in range(epochs):
            for rows in torch.split(torch.from_numpy(rng.permutation(len(x))), BATCH):
                optimiser.zero_grad()
                loss = nn.functional.binary_cross_entropy_with_logits(network(inputs[rows])[:, 0], truth[rows])
                loss.backward()
                optimiser.step()
            schedule.step()

    def log_odds(values: Floats32) -> Floats:
        with torch.no_grad():
            return np.asarray(network(torch.from_numpy(values))[:, 0].double().numpy())

    return log_odds
