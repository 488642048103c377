"""LiRA's and RMIA's tables: which rows their published figures meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from memberwise.reproduce.published import published
from memberwise.reproduce.tables import lira

TABLES = {"lira-16": lira.lira_16, "rmia-table": lira.rmia}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lira, "choose_device", lambda wanted: torch.device("cuda"))


@pytest.mark.slow
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("name", TABLES)
def test_published_size_pairs_every_figure_with_ours(name: str, faked: Callable[..., Any]) -> None:
    found = TABLES[name](faked(name, "full")).rows
    rows = {(row.setting, row.measure): row for row in found}
    assert len(rows) == len(found)
    for figure in published(name):
        assert rows[figure.setting, figure.measure].published == figure
        assert rows[figure.setting, figure.measure].ours is not None
        assert rows[figure.setting, figure.measure].comparable


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("size", ["smoke", "quick"])
def test_smaller_sizes_are_not_compared(name: str, size: str, faked: Callable[..., Any]) -> None:
    rows = TABLES[name](faked(name, size)).rows
    assert {row.verdict for row in rows} <= {"not compared", "not published"}
    assert all(row.why for row in rows if row.published)


def test_what_is_quoted_from_memory_is_marked() -> None:
    marked = {figure.setting for figure in published("rmia-table") if figure.verify}
    assert "1 reference model, rmia-offline" in marked
    assert "254 reference models, rmia-online" not in marked
    assert not any(figure.verify for figure in published("lira-16"))


@pytest.mark.slow
def test_a_users_figures_are_beside_the_same_of_ours(faked: Callable[..., Any]) -> None:
    rows = {(row.setting, row.measure): row for row in lira.rmia(faked("rmia-table", "full")).rows}
    theirs = rows["254 reference models, rmia-online", "AUC, a user's run"]
    papers = rows["254 reference models, rmia-online", "AUC"]
    assert theirs.ours == papers.ours
    assert [row.published and row.published.value for row in (theirs, papers)] == [0.609, 0.7225]


def test_online_attacks_have_twice_the_models(faked: Callable[..., Any]) -> None:
    bench = faked("rmia-table", "quick")
    plot = lira.rmia(bench).plots[0]
    assert [settings["shadow.count"] for settings in bench.questions.values()] == [2, 4, 8]
    assert {series.x for series in plot.series} == {(1, 2, 4)}
