"""``screen``: one training, a ranking, and an audit that goes on from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

import memberwise as mw
from memberwise.screening.schema import screen_schema
from memberwise.screening.terminal import trust_words
from memberwise.screening.trust import measured

SMALL: dict[str, Any] = {"data": "digits", "members": 60, "nonmembers": 60, "background": 20, "seed": 3}
FAST = {"training.epochs": 4, "model.hidden": [8], "run.device": "cpu"}


@pytest.mark.slow
def test_audit_in_the_screens_folder_trains_no_second_target(tmp_path: Path) -> None:
    found = mw.screen(**SMALL, settings=FAST, out=tmp_path)
    target = (tmp_path / "target" / "model.safetensors").stat().st_mtime_ns
    alone = mw.audit(**SMALL, settings=FAST, shadow_models=2, attacks="loss", out=tmp_path / "alone")
    result = mw.audit(**SMALL, settings=FAST, shadow_models=2, attacks="loss", out=tmp_path)
    assert (tmp_path / "target" / "model.safetensors").stat().st_mtime_ns == target
    assert result.scores.equals(alone.scores)
    assert "target-changed" not in {warning["code"] for warning in result.data["warnings"]}
    # All rows that it trained on are ranked, background too; the table is in the order of the ranks.
    assert len(found.table) == 80
    assert (found.table["rank"].to_numpy() == np.arange(1, 81)).all()
    assert (np.diff(found.table["loss_range"]) <= 0).all()
    assert list(Draft202012Validator(screen_schema()).iter_errors(found.facts)) == []
    assert json.loads((tmp_path / "screen.json").read_text()) == found.facts
    loss = found.table.set_index("index")["loss"]
    scores = result.scores[result.scores["member"] == 1].set_index("index")["loss"]
    np.testing.assert_allclose(loss[scores.index], -scores, atol=1e-4)


def test_saved_answers_are_ranked_by_their_losses() -> None:
    rng = np.random.default_rng(0)
    labels, member = rng.integers(0, 3, 400), np.arange(400) < 200
    logits = rng.normal(size=(400, 3)) + 4 * member[:, None] * np.eye(3)[labels]
    found = mw.screen(outputs={"logits": logits, "labels": labels, "member": member})
    assert found.parts.ranking.by == "loss"
    assert found.parts.advice.audit == "yes"
    shifted = logits - logits.max(1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(400), labels]
    assert found.table["index"].tolist() == np.argsort(-losses[:200], kind="stable").tolist()
    assert found.table["loss_range"].isna().all()


def test_answers_without_a_leak_show_no_sign_and_prove_nothing() -> None:
    rng = np.random.default_rng(1)
    answers = {"logits": rng.normal(size=(300, 3)), "labels": rng.integers(0, 3, 300), "member": np.arange(300) < 150}
    advice = mw.screen(outputs=answers).parts.advice
    assert advice.audit == "no sign"
    assert "no proof" in advice.reason


@pytest.mark.slow
def test_forest_is_ranked_by_its_last_losses() -> None:
    x, y = load_digits(return_X_y=True)
    found = mw.screen(model=RandomForestClassifier(5), data=(x[:300], y[:300]), members=60, nonmembers=60)
    assert found.parts.ranking.by == "loss"
    assert found.parts.ranking.records == 60


@pytest.mark.slow
def test_redacted_screen_names_no_record(tmp_path: Path) -> None:
    settings = FAST | {"report.redact_scores": True}
    found = mw.screen(**SMALL, settings=settings, out=tmp_path)
    assert found.parts.most_exposed == ()
    assert not {"index", "label"} & set((tmp_path / "screen.csv").read_text().partition("\n")[0].split(","))


def test_labels_alone_are_refused() -> None:
    answers = {"answers": np.zeros(40, int), "labels": np.zeros(40, int), "member": np.arange(40) < 20}
    with pytest.raises(mw.StudyError, match="labels"):
        mw.screen(outputs=answers)


def test_labels_by_a_defence_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(mw.StudyError, match="labels"):
        mw.screen(**SMALL, settings=FAST | {"answer": ["label-only"]}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_canaries_are_refused() -> None:
    with pytest.raises(mw.StudyError, match="canaries"):
        mw.screen(**SMALL, settings=FAST | {"canaries.count": 20})


def test_trust_is_stated_for_both_rankings_on_all_data() -> None:
    data = {(one.data, one.by) for one in measured()}
    assert data == {(name, by) for name in ("digits", "location30", "mnist", "adult") for by in ("lt-iqr", "loss")}
    for one in measured():
        assert one.precision.low <= one.precision.value <= one.precision.high
    assert "0.9" in trust_words(measured())
