"""Signals of several binary labels a record, against a slow loop over records and labels, and a closed form."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

import memberwise as mw
from memberwise.attacks import Attack, Needs
from memberwise.errors import DataError, StudyError
from memberwise.signals.label_sets import mean_auroc
from memberwise.signals.read import read_answers

SCALED_LOGIT = Attack("scaled-logit", lambda signals, rng: signals.target.phi[0, :, 0], Needs(), "test", "phi")


def slow(logits: Any, labels: Any) -> Any:
    """log p, log(1 - p) summed over labels, all labels right, share of labels right: one number at a time."""
    log_p, log_1mp, right = 0.0, 0.0, []
    for z, y in zip(logits, labels, strict=True):
        p = 1 / (1 + math.exp(-z))
        log_p += math.log(p if y else 1 - p)
        log_1mp += math.log(1 - p if y else p)
        right.append((z > 0) == bool(y))
    return log_p, log_1mp, all(right), np.mean(right)


@pytest.mark.parametrize("kind", ["logits", "scores"])
def test_signals_of_labels_equal_a_loop_over_them(kind: Any) -> None:
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(2, 5, 1, 3)) * 3, rng.integers(0, 2, (5, 3)).astype(np.uint8)
    raw = z if kind == "logits" else 1 / (1 + np.exp(-z))
    answers = read_answers(raw, labels, kind)
    for model in range(2):
        for record in range(5):
            log_p, log_1mp, right, share = slow(z[model, record, 0], labels[record])
            assert answers.log_p[model, record, 0] == pytest.approx(log_p, rel=1e-5)
            assert answers.log_1mp[model, record, 0] == pytest.approx(log_1mp, rel=1e-5)
            assert answers.correct[model, record, 0] == right
            assert answers.extra["labels right"][model, record] == pytest.approx(share)


def test_mean_auroc_equals_scikit_learns_macro_average() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, (50, 4))
    margins = np.round(rng.normal(size=(2, 50, 4)) + labels, 1)
    ours = mean_auroc(margins, labels, np.ones((2, 50), bool))
    for model in range(2):
        assert ours[model] == pytest.approx(roc_auc_score(labels, margins[model], average="macro"))


def saved(n: int = 4000, separations: tuple[float, ...] = (1.0, 0.5, 0.0), seed: int = 0) -> dict[str, Any]:
    """Members' scaled logits lie higher by a known separation, label by label, in units of their spread."""
    rng = np.random.default_rng(seed)
    labels, member = rng.integers(0, 2, (n, len(separations))), np.arange(n) % 2
    towards = rng.normal(size=labels.shape) + np.outer(member, separations)
    return {"logits": towards * (2 * labels - 1), "labels": labels, "member": member}


@pytest.mark.slow
def test_auc_of_saved_answers_is_that_of_the_known_separation() -> None:
    data = saved()
    result = mw.audit(outputs=data, attacks=["loss", "gap", "confidence", "loss-classwise", SCALED_LOGIT])
    towards = (data["logits"] * (2 * data["labels"] - 1)).astype(np.float32)
    loss = np.log(1 / (1 + np.exp(-towards))).sum(1)
    inside, outside = loss[data["member"] == 1], loss[data["member"] == 0]
    slow_auc = np.mean([(one > outside).mean() + (one == outside).mean() / 2 for one in inside])
    assert result.auc("loss").value == pytest.approx(slow_auc, abs=1e-6)
    # Sums of three normal scaled logits: separated by 1.5 at a spread of sqrt(3).
    assert result.auc("scaled-logit").value == pytest.approx(norm.cdf(1.5 / math.sqrt(6)), abs=0.03)
    facts = result.to_dict()
    assert {one["name"] for one in facts["skipped"]} == {"confidence", "loss-classwise"}
    right = (towards > 0).mean(1)
    assert facts["target"]["train_accuracy"] == pytest.approx(right[data["member"] == 1].mean(), abs=1e-6)
    assert (facts["data"]["classes"], facts["data"]["several_labels"]) == (3, True)


@pytest.mark.slow
def test_signals_of_one_label_on_request_are_that_labels_alone() -> None:
    data = saved() | {"classes": ["a", "b", "c"]}
    for label, separation in (("a", 1.0), ("c", 0.0)):
        result = mw.audit(outputs=data, attacks=["loss"], settings={"attacks.label": label})
        assert result.auc("loss").value == pytest.approx(norm.cdf(separation / math.sqrt(2)), abs=0.03)
    with pytest.raises(StudyError, match=r"(?s)a, b, c.*did you mean c"):
        mw.audit(outputs=data, attacks=["loss"], settings={"attacks.label": "C"})


@pytest.mark.slow
def test_probabilities_of_labels_give_the_same_ranking_as_logits() -> None:
    data = saved(400)
    other = {**data, "probabilities": 1 / (1 + np.exp(-data["logits"]))}
    del other["logits"]
    first, second = (mw.audit(outputs=one, attacks=["loss"]).auc("loss").value for one in (data, other))
    assert first == pytest.approx(second, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.full((20, 3), 2)}, "0 or 1 each"),
        ({"labels": np.zeros((20, 2))}, "do not fit the labels"),
        ({"labels": np.full((20, 3), np.nan)}, "0 or 1 each"),
    ],
)
def test_saved_labels_that_are_no_sets_are_refused(change: Any, message: Any) -> None:
    with pytest.raises(DataError, match=message):
        mw.audit(outputs=saved(20) | change)
