"""The audit end to end on small real data: every kind of model, target, role and gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier
from torch import nn
from torch.nn import functional

import memberwise as mw
from memberwise.errors import StudyError, TargetError

FAST = {"training.epochs": 15, "model.hidden": [64]}
SMALL: dict[str, Any] = {
    "members": 300,
    "nonmembers": 300,
    "population": 200,
    "shadow_models": 8,
    "seed": 2,
}
ATTACKS = ["loss", "lira-online", "lira-online-fixed"]
FEW: dict[str, Any] = SMALL | {"attacks": ATTACKS}


def warnings_of(result: mw.Result) -> list[str]:
    return [warning["code"] for warning in result.to_dict()["warnings"]]


def ran(result: mw.Result) -> set[str]:
    return {attack["name"] for attack in result.to_dict()["attacks"]}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> mw.Result:
    return mw.audit(data="digits", settings=FAST, out=tmp_path_factory.mktemp("audit") / "run", **SMALL)


@pytest.mark.slow
def test_the_run_folder_is_complete(whole: mw.Result) -> None:
    assert whole.folder is not None
    names = {str(path.relative_to(whole.folder)) for path in whole.folder.rglob("*") if path.is_file()}
    assert names == {
        *("study.toml", "result.json", "scores.csv", "curves.npz", "report.html", "junit.xml", "model_card.md"),
        *("signals/manifest.json", "signals/block-00000.npz", "signals/block-00001.npz"),
        *("target/model.safetensors", "target/metadata.json", "target/preprocessing.json"),
        *("turns/manifest.json", *(f"turns/turn-{number:05d}.npz" for number in range(8))),
    }


@pytest.mark.slow
def test_figures_agree_with_the_scores(whole: mw.Result) -> None:
    """AUC of scores.csv by scikit-learn, accuracies from the saved target by hand."""
    scores = whole.scores
    for attack in whole.to_dict()["attacks"]:
        own = scores[["member", attack["name"]]].dropna()
        assert attack["auc"]["value"] == pytest.approx(roc_auc_score(own["member"], own[attack["name"]]), abs=1e-9)
    assert list(scores["index"]) == sorted(scores["index"])
    assert scores["member"].sum() == 300


@pytest.mark.slow
def test_the_saved_target_gives_the_signals_again(whole: mw.Result, digits: tuple[np.ndarray, np.ndarray]) -> None:
    from safetensors.torch import load_file

    assert whole.folder is not None
    x, y = digits
    weights = load_file(whole.folder / "target" / "model.safetensors")
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    model.load_state_dict(weights)
    rows = whole.scores["index"].to_numpy()
    logits = model(torch.from_numpy(x[rows])).detach()
    log_p = functional.log_softmax(logits.double(), -1)[torch.arange(len(rows)), torch.from_numpy(y[rows])]
    np.testing.assert_allclose(whole.scores["loss"], log_p, atol=1e-4)
    right = (logits.argmax(1).numpy() == y[rows]).astype(float)
    facts = whole.to_dict()["target"]
    member = whole.scores["member"].to_numpy() == 1
    assert facts["train_accuracy"] == pytest.approx(right[member].mean())
    assert facts["test_accuracy"] == pytest.approx(right[~member].mean())


@pytest.mark.slow
def test_lira_beats_the_loss_attack(whole: mw.Result) -> None:
    assert whole.auc("lira-online-fixed").value > whole.auc("loss").value


@pytest.mark.slow
def test_a_module_of_ones_own_with_what_modules_have(digits: tuple[np.ndarray, np.ndarray]) -> None:
    def make_model() -> nn.Module:
        return nn.Sequential(
            *(nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.1), nn.Linear(48, 10)),
        )

    result = mw.audit(model=make_model, data=digits, settings={"training.epochs": 10}, **FEW)
    assert result.folder is None
    assert "not-stacked" not in warnings_of(result)
    assert result.to_dict()["shadow"]["plan"]["stacked"] is True
    assert result.auc("lira-online").value > 0.5


@pytest.mark.slow
def test_an_estimator_on_a_frame_with_groups_and_units() -> None:
    data = load_breast_cancer(as_frame=True)
    table = data.frame.drop(columns="target").iloc[:, :6]
    table["clinic"] = np.where(np.arange(len(table)) % 3, "north", "south")
    table["patient"] = np.arange(len(table)) // 2
    table["diagnosis"] = data.target.map({0: "malignant", 1: "benign"})
    result = mw.audit(
        model=DecisionTreeClassifier(),
        data=table,
        label="diagnosis",
        group="clinic",
        unit="patient",
        members=180,
        nonmembers=180,
        shadow_models=8,
        attacks=["gap", "lira-online-fixed"],
    )
    assert result.auc("gap").value > 0.52
    facts = result.to_dict()
    assert facts["data"]["class_names"] == ["benign", "malignant"]
    assert [row["name"] for row in facts["records"]["per_group"]] == ["north", "south"]
    side = result.scores.assign(patient=result.scores["index"] // 2).groupby("patient")["member"].nunique()
    assert (side == 1).all(), "both rows of a patient are on one side"
    assert facts["target"]["architecture"] == "DecisionTreeClassifier"


def train_nearest(x: np.ndarray, y: np.ndarray, seed: int) -> Any:
    means = np.stack([x[y == c].reshape((y == c).sum(), -1).mean(0) for c in range(10)])
    return lambda records: -((records.reshape(len(records), 1, -1) - means[None]) ** 2).sum(-1)


@pytest.mark.slow
def test_a_training_function_of_ones_own(digits: tuple[np.ndarray, np.ndarray]) -> None:
    result = mw.audit(model=train_nearest, data=digits, settings={"plan.threads": 2}, **FEW)
    assert result.to_dict()["target"]["train_accuracy"] > 0.8
    assert "lira-online" in ran(result)


def train_elsewhere(x: np.ndarray, y: np.ndarray, epochs: int) -> nn.Module:
    """A target as a user's own script makes it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            functional.cross_entropy(model(torch.from_numpy(x[rows])), torch.from_numpy(y[rows])).backward()
            optimiser.step()
    return model


@pytest.fixture
def elsewhere(tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> tuple[Path, Path, nn.Module, np.ndarray]:
    from safetensors.torch import save_file

    x, y = digits
    rows = np.random.default_rng(0).permutation(len(x))[:500]
    model = train_elsewhere(x[rows], y[rows], 15)
    save_file(model.state_dict(), tmp_path / "target.safetensors")
    np.savetxt(tmp_path / "rows.txt", rows, fmt="%d")
    return tmp_path / "target.safetensors", tmp_path / "rows.txt", model, rows


@pytest.mark.slow
def test_a_target_trained_elsewhere(elsewhere: tuple[Path, Path, nn.Module, np.ndarray]) -> None:
    file, rows_file, model, rows = elsewhere
    common: dict[str, Any] = {"data": "digits", "train_rows": rows_file, "shadow_models": 4, "settings": FAST}
    common["attacks"] = ATTACKS
    result = mw.audit(target=file, members=300, **common)
    facts = result.to_dict()
    assert facts["data"]["members"] == 300
    assert facts["data"]["background"] == 200
    assert set(result.scores["index"][result.scores["member"] == 1]) <= set(rows)
    assert not set(result.scores["index"][result.scores["member"] == 0]) & set(rows)
    assert facts["target"]["train_accuracy"] > facts["target"]["test_accuracy"]
    assert "shadow-accuracy" not in warnings_of(result)
    same = mw.audit(target=model, members=300, **common)
    np.testing.assert_allclose(same.scores["loss"], result.scores["loss"], atol=1e-6)


@pytest.mark.slow
def test_shadows_unlike_the_target_are_warned_about(elsewhere: tuple[Path, Path, nn.Module, np.ndarray]) -> None:
    file, rows, _, _ = elsewhere
    result = mw.audit(
        target=file,
        train_rows=rows,
        data="digits",
        shadow_models=4,
        settings=FAST | {"training.epochs": 1},
        attacks=["loss"],
    )
    [message, *_] = [w["message"] for w in result.to_dict()["warnings"] if w["code"] == "shadow-accuracy"]
    shadow, target = result.to_dict()["shadow"], result.to_dict()["target"]
    assert f"{target['train_accuracy']:.3f}" in message
    assert f"{shadow['train_accuracy']:.3f}" in message


@pytest.mark.slow
def test_a_target_trained_again_since_is_noticed(
    elsewhere: tuple[Path, Path, nn.Module, np.ndarray], tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    from safetensors.torch import save_file

    file, rows_file, _, rows = elsewhere
    x, y = digits
    common: dict[str, Any] = {"data": "digits", "train_rows": rows_file, "shadow_models": 4, "settings": FAST}
    common["attacks"] = ATTACKS
    first = mw.audit(target=file, out=tmp_path / "run", **common)
    save_file(train_elsewhere(x[rows], y[rows], 3).state_dict(), file)
    second = mw.audit(target=file, out=tmp_path / "run", **common)
    assert "target-changed" not in warnings_of(first)
    assert "target-changed" in warnings_of(second)
    assert second.to_dict()["target"]["train_loss"] > first.to_dict()["target"]["train_loss"]
    assert second.to_dict()["shadow"]["resumed"] == 4, "the shadow models do not depend on it"


def test_a_target_that_does_not_fit_its_architecture(elsewhere: tuple[Path, Path, nn.Module, np.ndarray]) -> None:
    file, rows, _, _ = elsewhere
    with pytest.raises(TargetError, match=r"do not fit(.|\n)*1.weight has shape \(64, 64\) instead of \(32, 64\)"):
        mw.audit(target=file, train_rows=rows, data="digits", settings={"model.hidden": [32]})


@pytest.mark.slow
def test_a_state_dict_and_an_onnx_and_a_skops_target(
    elsewhere: tuple[Path, Path, nn.Module, np.ndarray], tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    import onnx
    import skops.io
    from onnx import TensorProto, helper, numpy_helper

    _, rows_file, model, rows = elsewhere
    torch.save({f"module.{k}": v for k, v in model.state_dict().items()}, tmp_path / "target.pt")
    weights = {k.replace(".", "_"): v.numpy() for k, v in model.state_dict().items()}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "1_weight", "1_bias"], ["h"], transB=1),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "3_weight", "3_bias"], ["logits"], transB=1),
        ],
        "target",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(made, str(tmp_path / "target.onnx"))
    x, y = digits
    regression = LogisticRegression(max_iter=2000).fit(x[rows], y[rows])
    skops.io.dump(regression, tmp_path / "target.skops")
    common: dict[str, Any] = {"data": "digits", "train_rows": rows_file, "shadow_models": 2, "settings": FAST}
    common["attacks"] = ["loss"]
    state, graph_result, fitted = (
        mw.audit(target=tmp_path / name, **common) for name in ("target.pt", "target.onnx", "target.skops")
    )
    np.testing.assert_allclose(graph_result.scores["loss"], state.scores["loss"], atol=1e-4)
    order = fitted.scores["index"].to_numpy()
    own = np.log(regression.predict_proba(x[order])[np.arange(len(order)), y[order]])
    np.testing.assert_allclose(fitted.scores["loss"], own, atol=1e-5)


@pytest.mark.slow
def test_surplus_records_on_either_side() -> None:
    more_members = mw.audit(data="digits", settings=FAST, **FEW | {"members": 400, "nonmembers": 250})
    facts = more_members.to_dict()["data"]
    assert (facts["members"], facts["background"]) == (250, 150)
    more = SMALL | {"members": 250, "nonmembers": 400, "attacks": ["lira-online", "lira-offline"]}
    more_others = mw.audit(data="digits", settings=FAST, **more)
    scores = more_others.scores
    assert scores["lira-online"].isna().sum() == 150
    assert scores["lira-offline"].notna().all()
    assert (scores.loc[scores["lira-online"].isna(), "member"] == 0).all()
    entry = next(a for a in more_others.to_dict()["attacks"] if a["name"] == "lira-online")
    assert entry["auc"]["n_nonmembers"] == 250


@pytest.mark.parametrize("allowed", [True, False])
def test_shadows_without_auxiliary_records_are_refused(allowed: bool) -> None:
    settings = FAST | {"shadow.data": "auxiliary", "shadow.allow_size_mismatch": allowed}
    with pytest.raises(StudyError, match=r"no records to train on(.|\n)*data\.auxiliary"):
        mw.audit(data="digits", members=50, nonmembers=50, shadow_models=4, settings=settings)


@pytest.mark.slow
def test_shadows_from_auxiliary_records_are_offline() -> None:
    settings = FAST | {"shadow.data": "auxiliary"}
    few = SMALL | {"members": 150, "nonmembers": 150, "shadow_models": 4}
    result = mw.audit(data="digits", auxiliary=300, settings=settings, **few)
    assert {"lira-offline", "rmia-offline", "loss"} <= ran(result)
    assert {s["name"] for s in result.to_dict()["skipped"]} >= {"lira-online", "rmia-online", "learned"}
    assert "shokri" in ran(result), "attack models learn from the auxiliary records"
    assert result.auc("lira-offline").value > 0.5


@pytest.mark.slow
def test_queries_and_output_defences_reach_target_and_shadows(whole: mw.Result) -> None:
    mirrored = mw.audit(data="digits", settings=FAST | {"queries": "mirror"}, **FEW)
    assert {a["queries"] for a in mirrored.to_dict()["attacks"]} == {2}
    np.testing.assert_array_equal(mirrored.scores["loss"] == whole.scores["loss"], True)
    rounding: dict[str, Any] = FAST | {"answer": [{"name": "rounding", "digits": 0}]}
    rounded = mw.audit(data="digits", settings=rounding, **FEW | {"attacks": [*ATTACKS, "top-one"]})
    own = np.log(np.maximum(np.round(np.exp(whole.scores["loss"])), 0.5))
    np.testing.assert_allclose(rounded.scores["loss"], own, atol=1e-5, err_msg="steps of 1: a 0 is half of one")
    assert "answers-in-steps" in warnings_of(rounded)
    assert "saturated-answers" not in warnings_of(rounded)
    assert "top-one" not in ran(rounded), "rounded scores are no logits"


@pytest.mark.slow
def test_the_gate_passes_fails_and_cannot_tell(tmp_path: Path) -> None:
    common: dict[str, Any] = {"data": "digits", "settings": FAST, **SMALL, "attacks": ["gap", "lira-online-fixed"]}
    common["out"] = tmp_path / "run"  # whose models are read again
    failed = mw.audit(fail_if="lira-online-fixed:auc>0.501", **common)
    assert (failed.exit_code, failed.passed) == (1, False)
    passed = mw.audit(fail_if=["auc>0.9", "gap:tpr@0.1>0.9"], **common)
    assert (passed.exit_code, passed.passed) == (0, True)
    unknown = mw.audit(fail_if="tpr@0.001>0.5", **common)
    assert (unknown.exit_code, unknown.passed) == (3, None)
    assert unknown.tpr(at_fpr=0.001).low == 0.0


def test_a_headline_that_cannot_run_is_an_error() -> None:
    z, y = np.eye(4)[np.arange(40) % 4] * 3, np.arange(40) % 4
    with pytest.raises(StudyError, match="could not run"):
        mw.audit(
            outputs={"logits": z, "labels": y, "member": np.arange(40) < 20},
            settings={"attacks.headline": "lira-online"},
        )


@pytest.mark.slow
def test_duplicates_across_the_sides_are_counted(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits
    twice = (np.concatenate([x[:400], x[:7]]), np.concatenate([y[:400], y[:7]]))
    result = mw.audit(
        data=twice,
        members=np.arange(200),
        nonmembers=np.arange(207, 407),
        shadow_models=2,
        settings=FAST,
        attacks=["loss"],
    )
    [message] = [w["message"] for w in result.to_dict()["warnings"] if w["code"] == "duplicates"]
    assert message.startswith("7 of 200")


@pytest.mark.slow
def test_records_in_a_file_of_their_own(tmp_path: Path) -> None:
    data = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "label"})
    data.iloc[:400].to_csv(tmp_path / "main.csv", index=False)
    data.iloc[400:].to_parquet(tmp_path / "others.parquet")
    result = mw.audit(
        data=tmp_path / "main.csv",
        members=160,
        nonmembers=tmp_path / "others.parquet",
        shadow_models=2,
        settings=FAST,
        attacks=["loss"],
    )
    others = result.scores[result.scores["member"] == 0]
    assert set(others["index"]) == set(range(400, 569))


@pytest.mark.slow
def test_saved_answers_from_a_run_give_its_figures(whole: mw.Result) -> None:
    """The table of signals of a trained audit, written as saved answers, is audited to the same figures."""
    assert whole.folder is not None
    with np.load(whole.folder / "signals" / "block-00000.npz") as target:
        logits = target["audited.vectors"][0]
        population = target["population.log_p"]
    with np.load(whole.folder / "signals" / "block-00001.npz") as block:
        shadows = block["audited.vectors"]
        logs = {"log_p": block["audited.log_p"], "log_1mp": block["audited.log_1mp"]}
    y = whole.scores["label"].to_numpy()
    member = whole.scores["member"].to_numpy()
    assert population.shape[1] == 200
    seen = np.load(whole.folder / "signals" / "block-00001.npz")["audited.correct"].shape
    assert seen[:2] == shadows.shape[:2]
    trained_on = _halves(whole)
    names = ["loss", "entropy", "mentr", "lira-online", "lira-online-fixed", "lira-offline"]
    saved = mw.audit(
        outputs={"logits": logits, "labels": y, "member": member},
        shadow_outputs=logs | {"trained_on": trained_on},
        attacks=names,
    )
    for name in names:
        assert saved.auc(name).value == pytest.approx(whole.auc(name).value, abs=1e-6)


def _halves(result: mw.Result) -> np.ndarray:
    from memberwise.data import RoleSpec, assign_roles, load
    from memberwise.seeds import Seeds

    wants = RoleSpec(members=300, nonmembers=300, population=200)
    _, roles = assign_roles(load("digits"), wants, Seeds(2))
    return np.stack([np.isin(roles.audited, roles.shadow_rows(k, Seeds(2))) for k in range(8)]).astype(int)


@pytest.mark.slow
def test_the_study_in_the_folder_runs_again(whole: mw.Result, tmp_path: Path) -> None:
    assert whole.folder is not None
    again = mw.audit(whole.folder / "study.toml", out=tmp_path / "again")
    assert again.auc().value == whole.auc().value
    pd.testing.assert_frame_equal(again.scores, whole.scores)
    assert json.loads((tmp_path / "again" / "result.json").read_text())["headline"] == "learned"


@pytest.mark.slow
def test_one_record_a_unit_is_evaluated_and_interval_covers() -> None:
    """A model that never trained leaks nothing, whatever each person's 20 near-identical rows look like."""
    covered = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        persons = rng.normal(size=(60, 5))
        table = pd.DataFrame(persons.repeat(20, 0) + 0.01 * rng.normal(size=(1200, 5)), columns=list("abcde"))
        table["person"] = np.arange(60).repeat(20)
        table["label"] = rng.integers(0, 2, 60).repeat(20)
        result = mw.audit(
            model=lambda: nn.Linear(5, 2),
            data=table,
            unit="person",
            members=500,
            nonmembers=500,
            population=200,
            shadow_models=2,
            attacks=["loss"],
            settings={"training.epochs": 1, "training.learning_rate": 1e-12},
            seed=seed,
        )
        estimate = result.auc("loss")
        assert estimate.n_members == 25
        covered += bool(estimate.low <= 0.5 <= estimate.high)  # type: ignore[operator]
    assert covered >= 6
    assert "one-record-of-each-unit" in warnings_of(result)
    assert result.scores["evaluated"].sum() == 50


def leaky_answers(n: int) -> dict[str, np.ndarray]:
    """Logits of three classes about ``n`` records, surer about the first half, the members."""
    rng = np.random.default_rng(0)
    member = np.arange(n) < n // 2
    y = rng.integers(0, 3, n)
    z = rng.normal(size=(n, 3))
    z[np.arange(n), y] += np.where(member, 4, 1)
    return {"logits": z, "labels": y, "member": member}


@pytest.mark.slow
def test_members_that_are_swapped_do_not_pass() -> None:
    answers = leaky_answers(400)
    result = mw.audit(outputs=answers | {"member": ~answers["member"]}, fail_if="auc>0.9")
    assert (result.exit_code, result.passed) == (3, None)
    assert "worse-than-guessing" in warnings_of(result)
    assert mw.audit(outputs=answers, fail_if="auc>0.99").passed is True


@pytest.mark.slow
def test_a_headline_weaker_than_another_attack_is_told() -> None:
    result = mw.audit(outputs=leaky_answers(600), settings={"attacks.headline": "gap"})
    [message] = [w["message"] for w in result.to_dict()["warnings"] if w["code"] == "stronger-attack"]
    assert "loss" in message


@pytest.mark.slow
def test_a_forest_that_votes_zero_does_not_drown_lira(digits: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.ensemble import RandomForestClassifier

    result = mw.audit(model=RandomForestClassifier(n_estimators=20), data=digits, **FEW)
    assert result.scores["loss"].min() == pytest.approx(np.log(0.5 / 20), abs=1e-6)
    assert result.auc("lira-online-fixed").value > result.auc("loss").value - 0.02
