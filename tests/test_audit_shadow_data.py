"""Shadow models without access to the target's records: auxiliary, noisy and synthetic shadow data, end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memberwise as mw
from memberwise.errors import StudyError

OVERFIT = {"training.epochs": 50, "training.learning_rate": 0.2, "model.hidden": [128]}


@pytest.fixture(scope="module")
def bits() -> tuple[np.ndarray, np.ndarray]:
    """Records of 40 bits near one of 4 templates, a quarter of the labels wrong: a model can but memorise those."""
    rng = np.random.default_rng(0)
    templates = rng.integers(0, 2, (4, 40))
    y = rng.integers(0, 4, 700)
    x = np.where(rng.random((700, 40)) < 0.25, 1 - templates[y], templates[y])
    return x.astype(np.float32), np.where(rng.random(700) < 0.25, rng.integers(0, 4, 700), y)


def audit(bits: tuple[np.ndarray, np.ndarray], out: Path, data: str, **more: object) -> mw.Result:
    roles = {"members": 100, "nonmembers": 100} | ({} if data == "synthetic" else {"auxiliary": 200})
    return mw.audit(
        data=bits,
        shadow_models=4,
        attacks=["shokri-logistic", "ml-leaks-1", "lira-offline-fixed", "loss"],
        settings={"shadow.data": data, **OVERFIT, **more},
        out=out,
        **roles,  # type: ignore[arg-type]
    )


@pytest.mark.slow
@pytest.mark.parametrize("data", ["auxiliary", "noisy", "synthetic"])
def test_attack_models_learn_from_shadow_data(bits: tuple[np.ndarray, np.ndarray], tmp_path: Path, data: str) -> None:
    result = audit(bits, tmp_path / "run", data).to_dict()
    found = {attack["name"]: attack["auc"]["value"] for attack in result["attacks"]}
    assert set(found) == {"shokri-logistic", "ml-leaks-1", "lira-offline-fixed", "loss"}
    assert found["loss"] > 0.7, "the target memorises, so there is something to learn"
    assert found["shokri-logistic"] > 0.6
    assert result["data"]["auxiliary"] == 200
    if data == "synthetic":
        [told] = [w["message"] for w in result["warnings"] if w["code"] == "synthetic-shadow-data"]
        assert "200 shadow records were made with" in told
        again = audit(bits, tmp_path / "run", data).to_dict()
        assert [a["auc"] for a in again["attacks"]] == [a["auc"] for a in result["attacks"]]
        assert again["shadow"]["resumed"] == 4


@pytest.mark.slow
def test_the_share_of_noise_counts(bits: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """Nine bits of ten flipped: what shadow models learn then has little to do with the target."""
    little = audit(bits, tmp_path / "little", "noisy", **{"shadow.noise": 0.05}).to_dict()
    much = audit(bits, tmp_path / "much", "noisy", **{"shadow.noise": 0.9}).to_dict()
    assert much["shadow"]["test_accuracy"] < little["shadow"]["test_accuracy"] - 0.2


@pytest.mark.slow
def test_a_target_that_is_never_sure_ends_with_a_word(bits: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"shadow.synthesis": {"conf_min": 0.999999, "iter_max": 3}}
    with pytest.raises(StudyError, match="never sure enough"):
        audit(bits, tmp_path / "run", "synthetic", **settings)
