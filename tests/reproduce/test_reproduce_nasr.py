"""Adversarial regularisation's tables: what is asked, and which rows their published figures meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from memberwise.reproduce.published import published
from memberwise.reproduce.tables import nasr

TABLES = {"nasr-table-4": nasr.table_4, "nasr-table-6": nasr.table_6, "nasr-table-7": nasr.table_7}
LOCATION = {"nasr-table-4": ("location30", "location30", "cifar100")}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nasr, "choose_device", lambda wanted: torch.device("cuda"))


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.usefixtures("gpu")
def test_published_size_pairs_every_figure_with_ours(name: str, faked: Callable[..., Any]) -> None:
    rows = {(row.setting, row.measure): row for row in TABLES[name](faked(name, "full")).rows}
    for figure in published(name):
        row = rows[figure.setting, figure.measure]
        assert row.published == figure
        assert row.ours is not None
        assert row.comparable
        purchase = name != "nasr-table-4" or figure.setting.startswith("Purchase-100")
        assert (row.tolerance is not None) == (purchase and figure.measure != "train accuracy")


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_other_data_and_smaller_sizes_are_not_compared(name: str, faked: Callable[..., Any]) -> None:
    for size, data in (("full", LOCATION.get(name, ("location30",))), ("quick", None), ("smoke", None)):
        rows = TABLES[name](faked(name, size, data)).rows
        assert {row.verdict for row in rows} <= {"not compared", "not published", "not run"}
        assert not any(row.failed for row in rows)


@pytest.mark.slow
def test_without_a_gpu_rows_on_images_are_listed_as_not_run(faked: Callable[..., Any]) -> None:
    bench = faked("nasr-table-4", "full")
    rows = [row for row in nasr.table_4(bench).rows if row.setting.startswith("CIFAR-100")]
    assert len(rows) == 12
    assert all(row.published is not None and row.ours is None and "GPU" in row.why for row in rows)
    assert not any(label.startswith("CIFAR-100") for label in bench.questions)


@pytest.mark.slow
def test_the_attack_accuracy_is_the_publications_attackers(faked: Callable[..., Any]) -> None:
    bench = faked("nasr-table-6", "quick")
    rows = nasr.table_6(bench).rows
    use = bench.questions["L2 0.001"]["attacks.use"]
    found = {row.measure: row.ours.value for row in rows if row.setting == "L2 0.001" and row.ours}
    assert found["attack accuracy"] == pytest.approx(0.5 + use.index("nasr") / 100)
    assert found["attack accuracy, shokri"] == pytest.approx(0.5 + use.index("shokri") / 100)
    assert bench.questions["L2 0.001"]["attacks.reveal"] == 0.5


@pytest.mark.slow
def test_a_factor_of_the_whole_square_is_twice_our_strength(faked: Callable[..., Any]) -> None:
    bench = faked("nasr-table-6", "quick")
    nasr.table_6(bench)
    strengths = [s["training.defence"]["strength"] for s in bench.questions.values() if "training.defence" in s]
    assert strengths == pytest.approx([0.002, 0.01, 0.02])


def test_only_the_reference_set_changes_in_table_7(faked: Callable[..., Any]) -> None:
    bench = faked("nasr-table-7", "quick", ("location30",))
    found = nasr.table_7(bench)
    questions = list(bench.questions.values())
    assert [settings.pop("data.reference") for settings in questions] == [150, 300, 600, 1350]
    assert all(settings == questions[0] for settings in questions)
    assert {series.x for series in found.plots[0].series} == {(150, 300, 600, 1350)}
