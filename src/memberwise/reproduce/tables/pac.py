"""PAC-private prediction on CIFAR-10: the publication's accuracy and bound, beside the game that is not bounded."""

from __future__ import annotations

from memberwise.defences.bounded.pac import balanced_success
from memberwise.defences.bounded.words import other_game
from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench, accuracy_of, figure, learnt
from memberwise.reproduce.claim import Findings, Ours, Row
from memberwise.reproduce.reproduction import Reproduction
from memberwise.training.plan import choose_device

# Nats of one answer, and the questions that the publication states its bound for.
COST, QUESTIONS = 2.0**-32, 1_000_000
PAC, PLAIN, BOUND = "2^-32 nats a question", "undefended", "bound on attack accuracy, game i, 1,000,000 questions"
BY_LABELS = ("gap", "label-only-augment", "label-only-near")
SMALLER = "a small network, fewer worlds, and a pool of 1,500 records"


def pac_cifar10(bench: Bench) -> Findings:
    """Accuracy of answers at 2^-32 nats each, the bound after a million, and attacks in both games."""
    plain, private = bench.audit(PLAIN, _study(bench)), bench.audit("pac", _study(bench) | _defence(bench))
    large = _published_size(bench)
    rows = [
        *bench.rows(PAC, private, ["test accuracy"], why="" if large else SMALLER, comparable=large, tolerance=0.02),
        bench.row(PAC, BOUND, _bound(bench.seed), tolerance=0.0001),
        *_game_one(bench, private),
        *_game_two(bench, PAC, private),
        *bench.rows(PLAIN, plain, ["test accuracy"]),
        *_game_two(bench, PLAIN, plain),
    ]
    conditions = (learnt("the undefended model has learnt", plain, ()), learnt("the worlds have learnt", private, ()))
    notes = (
        f"The bound is about game i alone. {other_game('i')}",
        f"Measured in game ii: the strongest attack by labels has an AUC of {_strongest(private):.3f} on the private "
        f"answers, {_strongest(plain):.3f} on those of the undefended model, at test accuracies of "
        f"{100 * accuracy_of(private):.1f}% and {100 * accuracy_of(plain):.1f}%.",
    )
    return Findings(tuple(rows), (), notes, conditions)


def _bound(seed: int) -> Ours:
    """KL(d || 1/2) <= a million answers' nats, in closed form."""
    return Ours(balanced_success(QUESTIONS * COST), None, None, QUESTIONS, "closed form, no sampling", (seed,))


def _game_one(bench: Bench, run: Result) -> list[Row]:
    """The exact Bayesian attackers."""
    bound = run.parts.bound
    attackers = bound.measured.game_one if bound is not None else ()
    rows = []
    for one in attackers:
        part = one.accuracy
        ours = Ours(part.value, part.low, part.high, one.secrets, part.method, (bench.seed,))
        rows.append(bench.row(PAC, f"attack accuracy, game i: {one.attacker}", ours))
    return rows


def _game_two(bench: Bench, setting: str, run: Result) -> list[Row]:
    """Pool against strangers, by what labels tell."""
    return [bench.row(setting, f"AUC, game ii: {attack}", figure(run, "AUC", attack)) for attack in BY_LABELS]


def _strongest(run: Result) -> float:
    ran = {attack.name for attack in run.parts.attacks}
    return max(run.auc(name).value for name in BY_LABELS if name in ran)


def _study(bench: Bench) -> dict[str, object]:
    large = _published_size(bench)
    n = bench.pick(60, 200, 5_000)
    return {
        "data.members": n,
        "data.nonmembers": n,
        "data.background": bench.pick(60, 1_300, 20_000),
        "shadow.count": bench.pick(2, 2, 4),
        "attacks.use": list(BY_LABELS),
        "attacks.headline": "gap",
        "model.name": "wrn-28-2" if large else "memberwise.models.cnn:small_cnn",
        "training.epochs": bench.pick(2, 12, 100 if large else 30),
        "training.learning_rate": 0.1 if large else 0.05,
    }


def _defence(bench: Bench) -> dict[str, object]:
    worlds = bench.pick(4, 8, 32)
    budget = {"per_question": COST, "budget_nats": QUESTIONS * COST}
    return {"training.defence": {"name": "pac", "worlds": worlds, "share": 0.5, **budget}}


def _published_size(bench: Bench) -> bool:
    """32 networks of the publications' size for each of five ensembles want a GPU."""
    return bench.size == "full" and choose_device(bench.device).type == "cuda"


REPRODUCTIONS = (
    Reproduction(
        "pac-cifar10",
        "Zhu, Sridhar & Devadas 2026",
        "PAC-private answers: accuracy and bound, with the game that is not bounded beside them",
        (("cifar10",),),
        (0.5, 6, 6_000),
        pac_cifar10,
        gpu=True,
    ),
)
