"""The published figures as data, and the table of reproductions."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from memberwise.data import SOURCES
from memberwise.reproduce import REPRODUCTIONS
from memberwise.reproduce.published import published

NAMED = {
    "kaplan-baseline", "kaplan-regularization", "kaplan-image", "kaplan-confidence", "kaplan-combined",
    "kaplan-cifar10", "shokri-cifar-size", "shokri-shadow-count", "shokri-datasets", "shokri-platforms",
    "shokri-mitigations", "shokri-synthesis", "shokri-noisy", "shokri-dp", "mia-library", "overview-lira",
    "overview-mitigations", "nasr-table-4", "nasr-table-6", "nasr-table-7", "ws-tradeoff", "ws-ablation", "lira-16",
    "rmia-table", "memguard-location", "leakoscope-like", "pac-cifar10",
}  # fmt: skip


def test_every_table_is_there() -> None:
    assert set(REPRODUCTIONS) == NAMED


@pytest.mark.parametrize("name", sorted(REPRODUCTIONS))
def test_a_reproduction_states_data_and_times(name: str) -> None:
    reproduction = REPRODUCTIONS[name]
    assert all(options and set(options) <= set(SOURCES) for options in reproduction.data)
    smoke, quick, full = reproduction.minutes
    assert 0 < smoke < 1
    assert smoke <= quick <= min(15, full)
    assert reproduction.command("quick") == f"memberwise reproduce {name} --quick"


def test_rounding_is_half_of_the_last_printed_digit() -> None:
    accuracy, adversary = published("kaplan-baseline")
    assert (accuracy.value, accuracy.rounding) == (0.9357, pytest.approx(5e-5))  # type: ignore[comparison-overlap]
    assert (adversary.value, adversary.rounding) == (0.605, pytest.approx(5e-4))  # type: ignore[comparison-overlap]


def test_published_figures_belong_to_one_reproduction_once() -> None:
    for file in files("memberwise.reproduce").joinpath("figures").iterdir():
        if file.name.endswith(".toml"):
            for table in tomllib.loads(file.read_text("utf-8"))["table"]:
                assert table["name"] in REPRODUCTIONS
                assert table["source"]
    for name in REPRODUCTIONS:
        keys = [(figure.setting, figure.measure) for figure in published(name)]
        assert len(keys) == len(set(keys))
