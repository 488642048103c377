"""Attacks that ask more, or are told more, end to end: what is asked, kept, asked again, and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

import memberwise as mw

SMALL: dict[str, Any] = {"data": "digits", "members": 100, "nonmembers": 100, "shadow_models": 4, "seed": 2}
FAST = {"training.epochs": 8, "model.hidden": [24], "attacks.boundary_queries": 100, "attacks.boundary_records": 40}
LABELS = ["label-only-augment", "label-only-noise", "label-only-boundary"]
WHITE = ["gradient-norm", "gradient-norm-last"]


def entry(result: mw.Result, name: str) -> dict[str, Any]:
    return next(attack for attack in result.to_dict()["attacks"] if attack["name"] == name)


def skipped(result: mw.Result) -> dict[str, str]:
    return {skip["name"]: skip["reason"] for skip in result.to_dict()["skipped"]}


def codes(result: mw.Result) -> list[str]:
    return [warning["code"] for warning in result.to_dict()["warnings"]]


def without_seconds(result: mw.Result, name: str) -> dict[str, Any]:
    return {key: value for key, value in entry(result, name).items() if key != "seconds"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> mw.Result:
    out = tmp_path_factory.mktemp("extras") / "run"
    return mw.audit(**SMALL, attacks=["loss", *LABELS, *WHITE, "ml-leaks-3"], settings=FAST, out=out)


@pytest.mark.slow
def test_queries_are_counted_and_cut_on_shadow_models(whole: mw.Result) -> None:
    queries = {attack["name"]: attack["queries"] for attack in whole.to_dict()["attacks"]}
    assert queries == {
        **{"loss": 1, "label-only-augment": 18, "label-only-noise": 100, "label-only-boundary": 100},
        **{"gradient-norm": 1, "gradient-norm-last": 1, "ml-leaks-3": 1},
    }
    for name in (*LABELS, *WHITE):
        assert entry(whole, name)["threshold"]["chosen_on"] == "shadows", name
    assert entry(whole, "ml-leaks-3")["threshold"]["chosen_on"] == "random inputs"
    assert whole.scores["label-only-boundary"].notna().sum() == 40
    assert "records-not-scored" in codes(whole)


@pytest.mark.slow
def test_misclassified_records_are_at_distance_0_and_wrong(whole: mw.Result) -> None:
    gap = mw.audit(**SMALL, attacks=["gap"], settings=FAST).scores["gap"]
    asked = whole.scores["label-only-boundary"].notna()
    np.testing.assert_array_equal(whole.scores["label-only-boundary"][asked] > 0, gap[asked] == 1)


@pytest.mark.slow
def test_folder_lacking_answers_gets_them_and_keeps_figures(whole: mw.Result, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = mw.audit(**SMALL, attacks=["loss"], settings=FAST, out=out)
    assert not {"block-trained-again", "target-asked-again"} & set(codes(first))
    more = mw.audit(**SMALL, attacks=["loss", "label-only-boundary"], settings=FAST, out=out)
    assert {"block-trained-again", "target-asked-again"} <= set(codes(more))
    assert without_seconds(more, "loss") == without_seconds(first, "loss") == without_seconds(whole, "loss")
    name = "label-only-boundary"
    assert without_seconds(more, name) == without_seconds(whole, name), "which other collectors ask changes nothing"
    fewer = mw.audit(**SMALL, attacks=["loss"], settings=FAST, out=out)
    assert fewer.to_dict()["shadow"]["resumed"] == 4
    again = mw.audit(**SMALL, attacks=[name], settings=FAST, out=out)
    assert again.to_dict()["shadow"]["resumed"] == 4
    assert not {"block-trained-again", "target-asked-again"} & set(codes(again))
    finer = mw.audit(**SMALL, attacks=[name], settings={**FAST, "attacks.boundary_queries": 200}, out=out)
    assert {"block-trained-again", "target-asked-again"} <= set(codes(finer))
    assert entry(finer, name)["queries"] == 200


@pytest.mark.slow
def test_only_the_first_shadow_models_are_asked(tmp_path: Path) -> None:
    few: dict[str, Any] = {**FAST, "attacks.boundary_records": 10, "training.epochs": 2, "plan.stack": 4}
    result = mw.audit(**(SMALL | {"shadow_models": 6}), attacks=LABELS, settings=few, out=tmp_path / "run")
    assert result.folder is not None
    shapes = {}
    for number in (1, 2):
        with np.load(result.folder / "signals" / f"block-{number:05d}.npz") as block:
            shapes[number] = {name: len(block[name]) for name in block if name.startswith("audited.extra")}
    assert shapes[1] == {
        f"audited.extra.{n}{q}": 4 for n in ("augmented", "noised", "boundary") for q in ("", ".queries")
    }
    assert shapes[2] == {f"audited.extra.{n}{q}": 2 for n in ("augmented", "noised") for q in ("", ".queries")}


class Words(torch.nn.Module):
    """A model of word numbers, which numbers between and below them are not."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = torch.nn.Embedding(30, 8), torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.out(self.embedding(x.long()).mean(1)))


@pytest.mark.slow
def test_model_failing_on_altered_records_is_audited_without() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 30, (200, 6)).astype(np.float32), rng.integers(0, 2, 200)
    settings = {"training.epochs": 2, "attacks.boundary_queries": 100}
    sizes = {"members": 100, "nonmembers": 100, "shadow_models": 2}
    result = mw.audit(model=Words, data=(x, y), **sizes, attacks=["loss", "label-only-noise"], settings=settings)  # type: ignore[arg-type]
    assert [attack["name"] for attack in result.to_dict()["attacks"]] == ["loss"]
    assert "cannot be had of this target" in skipped(result)["label-only-noise"]


@pytest.mark.slow
def test_label_only_time_is_told_apart_and_is_no_signal(whole: mw.Result, tmp_path: Path) -> None:
    shadow = whole.to_dict()["shadow"]
    assert 0 < shadow["extra_seconds"] < shadow["seconds"]
    assert whole.folder is not None
    with np.load(whole.folder / "signals" / "block-00001.npz") as block:
        assert not [name for name in block if "seconds" in name]
    plain = mw.audit(**SMALL, attacks=["loss"], settings=FAST, out=tmp_path / "run")
    assert plain.to_dict()["shadow"]["extra_seconds"] == 0


@pytest.mark.slow
def test_label_keeping_defence_changes_no_label_only_attack(whole: mw.Result) -> None:
    defended = mw.audit(**SMALL, attacks=LABELS, settings={**FAST, "answer": [{"name": "temperature", "t": 50.0}]})
    for name in LABELS:
        np.testing.assert_array_equal(defended.scores[name], whole.scores[name])


@pytest.mark.slow
def test_estimators_answer_labels_and_have_no_gradients() -> None:
    result = mw.audit(
        **SMALL,
        model=DecisionTreeClassifier(max_depth=6),
        attacks=[*LABELS, *WHITE, "ml-leaks-3"],
        settings=FAST | {"model.hidden": [200, 200]},
    )
    assert set(skipped(result)) == set(WHITE)
    assert "weights of a network" in skipped(result)["gradient-norm"]
    assert entry(result, "label-only-noise")["auc"]["value"] > 0.5


@pytest.mark.slow
def test_revealed_records_train_nasr_and_are_not_evaluated() -> None:
    few: dict[str, Any] = SMALL | {"shadow_models": 2}
    result = mw.audit(**few, attacks=["loss", "nasr"], settings={**FAST, "attacks.reveal": 0.4})
    scores = result.scores
    assert (scores["evaluated"] == 0).sum() == 2 * 40
    for name in ("loss", "nasr"):
        assert entry(result, name)["auc"]["n_members"] == entry(result, name)["auc"]["n_nonmembers"] == 60
        assert scores.loc[scores["evaluated"] == 0, name].isna().all()
    assert entry(result, "nasr")["threshold"] == {"value": 0.0, "chosen_on": "revealed"}
    reason = skipped(mw.audit(**few, attacks=["loss", "nasr"], settings=FAST))["nasr"]
    assert "--set attacks.reveal=0.5" in reason


@pytest.mark.slow
def test_another_run_teaches_ml_leaks_2(whole: mw.Result) -> None:
    table = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    labels = (table.sum(1) > 0).astype(int)
    study: dict[str, Any] = {"members": 100, "nonmembers": 100, "shadow_models": 2, "attacks": ["loss", "ml-leaks-2"]}
    result = mw.audit(data=(table, labels), **study, settings={**FAST, "attacks.transfer": str(whole.folder)})
    assert entry(result, "ml-leaks-2")["threshold"]["chosen_on"] == "transfer"
    assert "attacks.transfer" in skipped(mw.audit(data=(table, labels), **study, settings=FAST))["ml-leaks-2"]


@pytest.mark.slow
def test_saved_answers_tell_what_they_lack_and_may_be_revealed() -> None:
    rng = np.random.default_rng(0)
    member, labels = rng.random(400) < 0.5, rng.integers(0, 3, 400)
    logits = rng.normal(size=(400, 3)) + 6 * np.eye(3)[labels] * member[:, None]
    result = mw.audit(
        outputs={"logits": logits, "labels": labels, "member": member},
        attacks=["all"],
        settings={"attacks.reveal": 0.5},
    )
    assert entry(result, "nasr")["auc"]["value"] > 0.9
    for name in (*LABELS, *WHITE, "ml-leaks-3"):
        assert "were not or cannot be had" in skipped(result)[name]
