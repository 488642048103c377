"""What a bound says in words: rounded up, with its game, never without the other one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memberwise.defences.bounded.spending import Bound
from memberwise.defences.bounded.words import bound_sentences, bounded_in_short, other_game, up, up_percent

PAC = Bound("i", nats=2.33e-4, per_question=2.0**-32, success=0.5107912, share=0.5, questions=1_000_000)
PATE = Bound("ii", epsilon=7.9612, delta=1e-5, success=0.79, questions=1)


def test_a_bound_on_the_share_says_nothing_of_the_pool() -> None:
    text = bound_sentences(PAC)
    assert "(game i). 1,000,000 questions told at most 0.000233 nats" in text
    assert "more often than 51.08% (guessing: 50%)" in text
    assert text.endswith(other_game("i"))
    assert "nothing about whether a record is in the pool" in other_game("i")


def test_a_bound_on_the_pool_names_its_epsilon() -> None:
    text = bound_sentences(PATE)
    assert "whether a record is in the pool at all (game ii). 1 question cost epsilon 7.97 at delta" in text
    assert text.endswith(other_game("ii"))
    assert "The training cost epsilon 7.97" in bound_sentences(PATE, of_training=True)


def test_success_is_said_of_halves_for_guesses_by_the_share_win() -> None:
    # 31 of 32 records were learned: to call every record learned is right far "more often than 51.08%".
    for bound in (replace(PAC, share=31 / 32), PATE):
        success = up_percent(bound.success or 1.0)
        said = "where either answer is true of half of the records asked about, no attack on that is right more often"
        assert f"{said} than {success}" in bound_sentences(bound)


def test_a_bound_of_everything_is_called_none() -> None:
    assert "too much to bound" in bound_sentences(Bound("i", nats=3.0, success=1.0, questions=5))


def test_cells_name_the_game_or_nothing() -> None:
    assert bounded_in_short(None) == "nothing"
    assert bounded_in_short(PAC) == "game i: 0.000233 nats, 51.08%"
    assert bounded_in_short(PATE) == "game ii: epsilon 7.97 at delta 1e-05"


@given(st.floats(1e-15, 1e12))
def test_rounding_never_goes_below(value: float) -> None:
    assert value * (1 - 1e-11) <= float(up(value).replace(",", "")) <= value * 1.011


@pytest.mark.parametrize(
    ("value", "text"),
    [(999.4, "1,000"), (1_000.0, "1,000"), (12_341.0, "12,400"), (1e7, "1e+07"), (0.01, "0.01")],
)
def test_large_figures_are_written_out(value: float, text: str) -> None:
    assert up(value) == text


@pytest.mark.parametrize(("share", "text"), [(0.5, "50%"), (0.5000001, "50.01%"), (0.51079, "51.08%"), (1.0, "100%")])
def test_percentages_are_rounded_up(share: float, text: str) -> None:
    assert up_percent(share) == text
