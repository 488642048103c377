"""What a bound says in words, and what it does not: the same sentences on pages, terminals and status pages.

No bound is shown without ``other_game``: a bound of one game is easily taken for one of the other.
"""

from __future__ import annotations

from math import ceil, floor, log10

from memberwise.defences.bounded.spending import Bound, Game

# What each game asks about.
QUESTION: dict[Game, str] = {
    "i": "which of the pool's records the answering model learned",
    "ii": "whether a record is in the pool at all",
}
_OTHER: dict[Game, str] = {
    "i": "It says nothing about whether a record is in the pool at all (game ii): nothing here bounds that, however "
    "small this bound is; it can only be measured.",
    "ii": "Which part of the pool one model learned (game i) is another question, and not the one that is bounded.",
}
# Of a bound on one client's questions.
CLIENTS_APART = (
    "This holds for a client who shares answers with no other: clients who collude are bounded together, by the total."
)
NOTHING = "nothing"
# What stands beside an epsilon that depends on the votes.
OF_VOTES = "given the votes that were cast; they depend on the pool, so this is no guarantee and not for publication"


def bound_sentences(bound: Bound, *, of_training: bool = False) -> str:
    """What is bounded, by how much, and what is not.

    Args:
        of_training: the model itself is private, whatever it is asked; not its answers.
    """
    return f"{_bounded(bound, of_training)} {other_game(bound.game)}"


def other_game(game: Game) -> str:
    """What a bound in this game does not say."""
    return _OTHER[game]


def bounded_in_short(bound: Bound | None) -> str:
    """For a table's cell; ``other_game`` belongs below the table."""
    if bound is None:
        return NOTHING
    return f"game {bound.game}: {_amount(bound)}"


def _bounded(bound: Bound, of_training: bool) -> str:
    begin = f"Bounded: {QUESTION[bound.game]} (game {bound.game})."
    asked = "the training" if of_training else f"{bound.questions:,} question" + "s" * (bound.questions != 1)
    parts = []
    if bound.nats is not None:
        parts.append(f"{asked} told at most {up(bound.nats)} nats about it")
    if bound.epsilon is not None:
        parts.append(f"{asked} cost {_amount(bound)} of differential privacy for any one record")
    told = f" {' and '.join(parts)}".replace(" the training", " The training") + ", all clients together" * (
        not of_training
    )
    return f"{begin}{told}{_success(bound)}."


def _success(bound: Bound) -> str:
    if bound.success is None:
        return ""
    if bound.success > 0.9999:
        return ": too much to bound any attack's success on that"
    # Without the halves it would be false: at a share of 31/32 "learned" is right of 31 records in 32.
    halves = "where either answer is true of half of the records asked about"
    return f": {halves}, no attack on that is right more often than {up_percent(bound.success)} (guessing: 50%)"


def _amount(bound: Bound) -> str:
    if bound.epsilon is not None:
        return f"epsilon {up(bound.epsilon)} at delta {bound.delta:.3g}"
    return f"{up(bound.nats or 0.0)} nats" + ("" if bound.success is None else f", {up_percent(bound.success)}")


def up(value: float, digits: int = 3) -> str:
    """A figure to so many digits, rounded up: what is "at most" stays true."""
    if not 0 < value < float("inf"):
        return f"{value:g}"
    places = digits - 1 - floor(log10(value))
    scaled = ceil(value * 10.0**places * (1 - 1e-12)) if places < 300 else 1
    shown = scaled / 10.0**places if places < 300 else value
    return f"{shown:,.0f}" if 1_000 <= shown < 1e6 else f"{shown:.{digits}g}"


def up_percent(share: float) -> str:
    """A share in per cent to two places, rounded up."""
    return f"{ceil(share * 10_000 * (1 - 1e-12)) / 100:.2f}".rstrip("0").rstrip(".") + "%"
