"""MemGuard in an audit: its shadow models are defended too, and the report shows the attacks that it does not stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import memberwise as mw

NOT_STOPPED = ("gap", "loss", "mentr", "mentr-classwise", "loss-classwise")


@pytest.mark.slow
def test_metric_attacks_stand_at_the_gap(tmp_path: Path) -> None:
    """A network that learnt every second label by heart; chance would be 0.5 under any of the attacks."""
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    y = np.where(rng.random(len(y)) < 0.5, rng.integers(0, 10, len(y)), y)
    settings = {"training.epochs": 60, "training.learning_rate": 0.1, "model.hidden": [128], "plan.threads": 1}
    result = mw.audit(
        data=((x / 16).astype(np.float32), y),
        members=200,
        nonmembers=200,
        reference=200,
        shadow_models=4,
        attacks=[*NOT_STOPPED, "lira-online-fixed"],
        settings=settings | {"answer": [{"name": "memguard", "epochs": 20}]},
        out=tmp_path / "run",
        seed=4,
    )
    found = {attack["name"]: attack for attack in result.to_dict()["attacks"]}
    gap = found["gap"]["balanced_accuracy"]["value"]
    assert gap > 0.65
    page = (tmp_path / "run" / "report.html").read_text()
    for name in NOT_STOPPED:
        assert found[name]["threshold"]["chosen_on"] == "shadows"
        assert found[name]["balanced_accuracy"]["value"] > gap - 0.05, name
        assert name in page
