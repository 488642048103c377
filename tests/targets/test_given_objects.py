"""Targets handed over in Python: functions, objects that predict and Targets of one's own, each audited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

import memberwise as mw
from memberwise.errors import StudyError, TargetError
from memberwise.targets import files, objects
from memberwise.targets.base import Kind, Records, Target
from memberwise.targets.functions import FunctionTarget
from memberwise.targets.kinds import FileKind, ObjectKind, TargetContext

ROWS = np.arange(200)
PLAN = {"plan.stack": 4, "plan.threads": 1, "training.epochs": 3, "model.hidden": [16]}
COMMON: dict[str, Any] = {
    "train_rows": ROWS,
    "members": np.arange(100),
    "nonmembers": np.arange(300, 400),
    "shadow_models": 4,
    "attacks": ["loss", "lira-online-fixed"],
    "settings": PLAN | {"shadow.allow_size_mismatch": True},
}


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    data = load_digits()
    return (data.data / 16).astype(np.float32), data.target.astype(np.int64)


@pytest.fixture(scope="module")
def module(digits: tuple[NDArray[np.float32], NDArray[np.int64]]) -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    x, y = (torch.from_numpy(part[ROWS]) for part in digits)
    optimiser = torch.optim.Adam(made.parameters(), 0.01)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(made(x), y).backward()
        optimiser.step()
    return made.eval()


def audit(data: Any, target: Any, **more: Any) -> mw.Result:
    return mw.audit(data=data, target=target, **COMMON | more)


def codes(result: mw.Result) -> set[str]:
    return {warning["code"] for warning in result.to_dict()["warnings"]}


@pytest.mark.slow
def test_a_function_has_the_scores_of_its_module(digits: Any, module: nn.Module) -> None:
    with_module = audit(digits, module)
    logits = audit(digits, lambda x: module(torch.from_numpy(x)))
    shares = audit(digits, lambda x: module(torch.from_numpy(x)).softmax(1).detach().numpy())
    for result, kind in ((logits, "logits"), (shares, "probabilities")):
        for name in ("loss", "lira-online-fixed"):
            np.testing.assert_allclose(result.scores[name], with_module.scores[name], rtol=1e-3, atol=1e-3)
        [message] = [w["message"] for w in result.to_dict()["warnings"] if w["code"] == "target-function"]
        assert f"taken as {kind}" in message
        assert result.to_dict()["target"]["train_accuracy"] == with_module.to_dict()["target"]["train_accuracy"]
    assert "target-function" not in codes(with_module)


class Doubled(Target):
    """Twice the module's logits."""

    kind: Kind = "logits"

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __len__(self) -> int:
        return 1

    def predict(self, x: Records) -> NDArray[Any]:
        with torch.no_grad():
            return 2 * self.module(torch.from_numpy(x)).numpy()[None]  # type: ignore[no-any-return]


@pytest.mark.slow
def test_a_target_of_ones_own_is_asked_as_it_is(digits: Any, module: nn.Module) -> None:
    own = audit(digits, Doubled(module))
    function = audit(digits, lambda x: 2 * module(torch.from_numpy(x)))
    assert own.scores.equals(function.scores)


class Proba:
    def __init__(self, fitted: LogisticRegression) -> None:
        self.fitted = fitted

    def predict_proba(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self.fitted.predict_proba(x))


class Labels:
    def __init__(self, fitted: LogisticRegression) -> None:
        self.fitted = fitted

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self.fitted.predict(x))


@pytest.mark.slow
def test_an_object_that_predicts_is_asked(digits: Any) -> None:
    fitted = LogisticRegression(max_iter=300).fit(digits[0][ROWS], digits[1][ROWS])
    known, unknown = audit(digits, fitted), audit(digits, Proba(fitted))
    np.testing.assert_allclose(known.scores["loss"], unknown.scores["loss"], rtol=1e-6)
    labels = audit(digits, Labels(fitted), attacks=["gap"])
    assert labels.to_dict()["target"]["test_accuracy"] == known.to_dict()["target"]["test_accuracy"]
    assert "target-function" in codes(labels)


@pytest.mark.slow
def test_a_function_resumes_and_a_changed_one_is_noticed(digits: Any, module: nn.Module, tmp_path: Path) -> None:
    def asked(scale: float) -> mw.Result:
        return audit(digits, lambda x: scale * module(torch.from_numpy(x)), out=tmp_path / "run", resume=True)

    audit(digits, lambda x: module(torch.from_numpy(x)), out=tmp_path / "run")
    same, other = asked(1.0), asked(2.0)
    assert same.to_dict()["shadow"]["resumed"] == 4
    assert "target-changed" not in codes(same)
    assert "target-changed" in codes(other)


def raises(x: Records) -> Records:
    raise RuntimeError("no such model")


REFUSED: dict[str, tuple[Any, str]] = {
    "one column": (lambda x: x[:, :1], r"does not answer as the data has classes(.|\n)*\(64, 1\)"),
    "one record": (lambda x: np.zeros(10), r"answers of shape \(10,\)"),
    "nan": (lambda x: np.full((len(x), 10), np.nan), r"answers NaN(.|\n)*64 of 64 records"),
    "texts": (lambda x: np.full((len(x), 10), "yes"), "answers no numbers"),
    "an error": (raises, r"cannot answer about the data's records(.|\n)*RuntimeError: no such model"),
}


@pytest.mark.parametrize(("function", "match"), REFUSED.values(), ids=REFUSED.keys())
def test_a_function_that_does_not_fit_is_refused(digits: Any, function: Any, match: str) -> None:
    with pytest.raises(TargetError, match=match):
        audit(digits, function)


class Nameless(Doubled):
    kind = "whatever"  # type: ignore[assignment]


class Two(Doubled):
    def __len__(self) -> int:
        return 2


def test_a_target_of_ones_own_is_checked(digits: Any, module: nn.Module) -> None:
    with pytest.raises(TargetError, match="does not say what it answers"):
        audit(digits, Nameless(module))
    with pytest.raises(TargetError, match="a target is one model"):
        audit(digits, Two(module))


@pytest.mark.parametrize("thing", [LogisticRegression(), nn.Linear, 7], ids=["unfitted", "class", "number"])
def test_what_is_no_target_is_refused(digits: Any, thing: Any) -> None:
    with pytest.raises(StudyError, match=r"this is no trained target(.|\n)*an unfitted model goes to model="):
        audit(digits, thing)


@pytest.mark.slow
def test_a_kind_of_files_is_one_record(
    digits: Any, module: nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def load(path: Path, context: TargetContext) -> tuple[Target, list[tuple[str, str]]]:
        weights = np.load(path)["w"]
        return FunctionTarget(lambda x: x @ weights, context.classes, "logits"), []

    monkeypatch.setattr(files, "FILE_KINDS", (*files.FILE_KINDS, FileKind((".npz",), ".npz of weights", load)))  # type: ignore[arg-type]
    np.savez(tmp_path / "mine.npz", w=np.random.default_rng(0).normal(size=(64, 10)))
    assert audit(digits, tmp_path / "mine.npz").to_dict()["shadow"]["count"] == 4
    (tmp_path / "mine.xyz").write_text("")
    with pytest.raises(TargetError, match=r"\.pt/\.pth holding a state dict, or \.npz of weights"):
        audit(digits, tmp_path / "mine.xyz")


@pytest.mark.slow
def test_a_kind_of_objects_is_one_record(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(thing: Any, context: TargetContext) -> Target:
        return FunctionTarget(lambda x: x @ np.full((64, 10), thing), context.classes, "logits")

    kind = ObjectKind("a number", lambda thing: isinstance(thing, int), load)
    monkeypatch.setattr(objects, "OBJECT_KINDS", (*objects.OBJECT_KINDS, kind))
    assert audit(digits, 7).to_dict()["target"]["test_accuracy"] < 0.5
