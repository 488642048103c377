"""The full sizes that two cores carry out in a night: each is defined, and its studies hold together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from memberwise.reproduce import find_reproduction
from memberwise.reproduce.claim import judged
from memberwise.reproduce.provenance import settings_of
from memberwise.reproduce.published import published
from memberwise.reproduce.tables import lira

NIGHT = 12 * 60
FULL = [
    "kaplan-baseline",
    "kaplan-regularization",
    "kaplan-image",
    "kaplan-confidence",
    "kaplan-combined",
    "shokri-datasets",
    "shokri-noisy",
    "nasr-table-6",
    "nasr-table-7",
    "ws-ablation",
    "lira-16",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_the_full_size_is_defined(name: str, faked: Callable[..., Any]) -> None:
    reproduction = find_reproduction(name)
    assert reproduction.minutes[2] <= NIGHT
    assert "cuda" not in reproduction.command("full")
    bench = faked(name, "full")
    found = judged(reproduction.run(bench), settings_of(name, "full"))
    rows = {(row.setting, row.measure): row for row in found.rows}
    assert len(rows) == len(found.rows)
    for figure in published(name):
        assert rows[figure.setting, figure.measure].ours is not None, "every published figure has ours beside it"
    assert all(condition.holds for condition in found.conditions)


def test_lira_trains_at_published_size_with_network_on_gpu(
    faked: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lira, "choose_device", torch.device)
    for device, network in (("cpu", "cnn"), ("cuda", "wrn-28-2")):
        bench = faked("lira-16", "full", None, device)
        rows = find_reproduction("lira-16").run(bench).rows
        [questions] = bench.questions.values()
        assert questions["data.members"] == 25_000
        assert questions["model.name"] == network
        compared = {row.verdict for row in rows if row.published}
        assert (compared == {"not compared"}) == (device == "cpu")
