"""Audits of saved answers against the slow conventions of this folder, attack by attack, through the front doors."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import conventions as slow
import numpy as np
import pandas as pd
import pytest
import tomli_w
from saved_cases import NAMES, VECTOR_SIGNALS, as_kind, expected_scores, make_answers, softmax
from scipy.stats import spearmanr
from typer.testing import CliRunner

import memberwise
from memberwise.cli.main import app

WORLDLY = {"attack-p", "rmia-online", "rmia-offline", "informia"}  # these need a population
FPRS = [0.05, 0.1, 0.29, 0.5]
CASES = {
    "plain": {},
    "two shadow models": {"shadows": 2},
    "four shadow models": {"shadows": 4},
    "many shadow models, ten classes, heavy tails": {"shadows": 32, "classes": 10, "n": 100, "heavy_tails": True},
    "independent coins": {"shadows": 16, "paired": False},
    "few models, independent coins": {"shadows": 5, "paired": False},
    "two classes": {"classes": 2},
    "saturated logits": {"scale": 6.0, "heavy_tails": True},
    "exact ties": {"duplicated": True},
    "more non-members": {"share": 0.3},
    "more members": {"share": 0.8, "classes": 2},
    "population seen by shadow models": {"population_seen": True},
    "tiny population": {"population": 5},
    "models that agree on some records": {"quiet": True, "leak": 0.01},
}


def check(data: Any, scores: Any, expected: Any, labels: Any) -> None:
    """Every figure of a result (its dict and table of scores) against the expected scores, attack by attack."""
    member = scores["member"].to_numpy()
    assert {attack["name"] for attack in data["attacks"]} >= set(expected)
    for attack in data["attacks"]:
        name = attack["name"]
        theirs = scores[name].to_numpy(float)
        scored = np.isfinite(theirs)
        if name in expected:
            ours = expected[name]
            ours = below_their_cuts(*ours, theirs, labels) if isinstance(ours, tuple) else ours  # type: ignore[call-arg]
            ours = closest(ours, theirs) if isinstance(ours, list) else ours
            np.testing.assert_array_equal(np.isfinite(ours), scored, err_msg=name)
            np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4, err_msg=name)
            # rounded, as some records tie but for rounding
            ours, near = ours[scored].round(9), theirs[scored].round(9)
            assert slow.auc(near, member[scored]) == pytest.approx(slow.auc(ours, member[scored]), abs=1e-4), name
            assert len(set(ours)) == 1 or spearmanr(ours, near).statistic > 0.9999, name
        check_statistics(attack, theirs[scored], member[scored])


def below_their_cuts(signal: Any, cuts: Any, theirs: Any, labels: Any) -> Any:
    """Signal minus tau_y. Where several cuts of a class are equally good, the one that the audit took."""
    ours = np.empty(len(signal))
    for label, (_, best, *_) in cuts.items():
        of_class = labels == label
        taken = np.median((signal - theirs)[of_class])
        ours[of_class] = signal[of_class] - min(best, key=lambda cut: abs(cut - taken))
    return ours


def closest(candidates: Any, theirs: Any) -> Any:
    return min(candidates, key=lambda ours: np.nansum(np.abs(ours - theirs)))


def check_statistics(attack: Any, scores: Any, member: Any) -> None:
    """The figures of one attack against its own scores."""
    name = attack["name"]
    assert attack["auc"]["value"] == pytest.approx(slow.auc(scores, member), abs=1e-12), name
    for row in attack["tpr_at_fpr"]:
        value, low, high, resolvable = slow.tpr_at_fpr(scores, member, row["fpr"])
        found = [row["value"], row["low"], row["high"]]
        np.testing.assert_allclose(found, [value, low, high], atol=1e-9, err_msg=f"{name} at {row['fpr']}")
        assert row["resolvable"] == resolvable, name
    if name == "top-one-search":
        best, cuts = slow.top_one_search(scores, member)
        assert attack["balanced_accuracy"]["value"] == pytest.approx(best, abs=1e-12)
        assert attack["threshold"]["value"] == cuts[0]
        assert attack["threshold"]["chosen_on"] == "audited (optimistic)"


def audit(outputs: Any, shadow_outputs: Any, attacks: Any = NAMES, **more: Any) -> Any:
    """Without models in turn, whose figures are not compared here."""
    more["settings"] = {"statistics.turns": "none"}
    return memberwise.audit(outputs=outputs, shadow_outputs=shadow_outputs, attacks=attacks, fpr=FPRS, **more)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_attack_agrees(case: Any) -> None:
    outputs, shadow_outputs = make_answers(list(CASES).index(case) + 100, **CASES[case])  # type: ignore[arg-type]
    result = audit(outputs, shadow_outputs)
    expected = expected_scores(outputs, shadow_outputs, "logits")
    skipped = {row["name"] for row in result.to_dict()["skipped"]}
    if case == "two shadow models":  # one model a side has no spread
        assert skipped == {name for name in NAMES if name.startswith("lira")} | {"bavaria"}
    else:
        assert skipped == set()
    check(result.to_dict(), result.scores, expected, outputs["labels"])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["logits", "probabilities", "scores"])
def test_every_kind_and_precision(kind: str, dtype: Any) -> None:
    def change(logits: Any) -> Any:
        return (logits if kind == "logits" else softmax(logits) * (0.9 if kind == "scores" else 1.0)).astype(dtype)

    outputs, shadow_outputs = (as_kind(arrays, kind, change) for arrays in make_answers(7, classes=4))
    result = audit(outputs, shadow_outputs)
    check(result.to_dict(), result.scores, expected_scores(outputs, shadow_outputs, kind), outputs["labels"])
    skipped = {row["name"] for row in result.to_dict()["skipped"]}
    assert skipped == (set() if kind == "logits" else {"top-one", "top-one-search"})


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1.0, 3.5])
@pytest.mark.parametrize("kind", ["logits", "scores"])
def test_other_temperatures_agree(kind: str, temperature: float) -> None:
    def change(logits: Any) -> Any:
        return logits if kind == "logits" else softmax(logits) * 0.9

    outputs, shadow_outputs = (as_kind(arrays, kind, change) for arrays in make_answers(17, classes=4))
    names = ["base", "informia", "rmia-online", "rmia-offline"]
    result = audit(outputs, shadow_outputs, attacks=names, temperature=temperature)
    expected = expected_scores(outputs, shadow_outputs, kind, temperature)
    expected["rmia-offline"] = closest(expected["rmia-offline"], result.scores["rmia-offline"].to_numpy())
    for name in ("base", "informia", "rmia-online"):
        np.testing.assert_allclose(result.scores[name], expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
    assert {attack["temperature"] for attack in result.to_dict()["attacks"]} == {temperature}


@pytest.mark.slow
def test_confident_probabilities_keep_their_order() -> None:
    arrays = make_answers(52, n=200, classes=4, scale=4.0)
    outputs, shadow_outputs = (as_kind(given, "probabilities", softmax) for given in arrays)
    result = audit(outputs, shadow_outputs)
    check(result.to_dict(), result.scores, expected_scores(outputs, shadow_outputs, "probabilities"), outputs["labels"])


@pytest.mark.slow
def test_a_constant_added_to_all_logits_changes_only_top_one() -> None:
    outputs, shadow_outputs = make_answers(71)
    moved = [as_kind(arrays, "logits", lambda logits: logits - 1e6) for arrays in (outputs, shadow_outputs)]
    plain, shifted = audit(outputs, shadow_outputs).scores, audit(*moved).scores
    for name in set(NAMES) - {"top-one", "top-one-search"}:
        np.testing.assert_allclose(plain[name], shifted[name], rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_attack_p_counts_larger_losses_only() -> None:
    rounded = [as_kind(arrays, "scores", lambda z: np.round(softmax(z), 2)) for arrays in make_answers(51)]
    found = audit(*rounded, attacks=["attack-p"]).scores["attack-p"]  # type: ignore[misc]
    np.testing.assert_allclose(found, expected_scores(*rounded, "scores")["attack-p"], atol=1e-9)  # type: ignore[call-arg]


@pytest.mark.slow
def test_queries_are_averaged_where_the_design_says_so() -> None:
    outputs, shadow_outputs = make_answers(81)
    rng = np.random.default_rng(0)
    asked = [
        arrays["logits"][..., None, :] + rng.normal(size=(*arrays["logits"].shape[:-1], 3, 3)) * 0.5
        for arrays in (outputs, shadow_outputs)
    ]
    result = audit(outputs | {"logits": asked[0]}, shadow_outputs | {"logits": asked[1]})
    by_query = [
        expected_scores(outputs | {"logits": asked[0][:, q]}, shadow_outputs | {"logits": asked[1][:, :, q]}, "logits")
        for q in range(3)
    ]
    once = {"loss", "gap", "rmia-offline", *(name for name in NAMES if "classwise" in name or name in VECTOR_SIGNALS)}
    for name in set(NAMES) - once - {"top-one", "top-one-search"}:
        expected = np.mean([scores[name] for scores in by_query], axis=0)
        np.testing.assert_allclose(result.scores[name], expected, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_shadow_models_given_as_logs() -> None:
    outputs, shadow_outputs = make_answers(9)
    pairs = [
        [slow.log_pair(answer, y, "logits") for answer, y in zip(model, outputs["labels"], strict=True)]
        for model in shadow_outputs["logits"]
    ]
    log_p, log_1mp = np.moveaxis(np.array(pairs), -1, 0)
    logs = {key: shadow_outputs[key] for key in ("trained_on", "population_logits")}
    result = audit(outputs, logs | {"log_p": log_p, "log_1mp": log_1mp})
    expected = expected_scores(outputs, shadow_outputs, "logits", temperature=1.0)
    assert "temperature-one" in {warning["code"] for warning in result.to_dict()["warnings"]}
    skipped = {row["name"] for row in result.to_dict()["skipped"]}
    assert skipped == {f"{name}-classwise" for name in ("confidence", "entropy", "mentr", "l2")}
    assert result.to_dict()["shadow"]["test_accuracy"] is None  # the logs do not tell
    kept = {name: scores for name, scores in expected.items() if name not in skipped}
    check(result.to_dict(), result.scores, kept, outputs["labels"])


@pytest.mark.slow
def test_labels_alone_give_the_gap_attack() -> None:
    outputs, shadow_outputs = make_answers(10)
    answers = {"answers": outputs["logits"].argmax(-1), "labels": outputs["labels"], "member": outputs["member"]}
    theirs = {"answers": shadow_outputs["logits"].argmax(-1), "trained_on": shadow_outputs["trained_on"]}
    result = audit(answers, theirs)
    assert [attack["name"] for attack in result.to_dict()["attacks"]] == ["gap"]
    check(result.to_dict(), result.scores, {"gap": expected_scores(outputs, None, "logits")["gap"]}, outputs["labels"])


def test_answers_that_are_whole_floats() -> None:
    outputs, _ = make_answers(10)
    answers = {"labels": outputs["labels"].astype(float), "member": outputs["member"]}
    whole = audit(answers | {"answers": outputs["logits"].argmax(-1).astype(float)}, None)
    np.testing.assert_array_equal(whole.scores["gap"], expected_scores(outputs, None, "logits")["gap"])


@pytest.mark.slow
def test_string_labels_and_shuffled_files_with_an_index() -> None:
    outputs, shadow_outputs = make_answers(11)
    rng = np.random.default_rng(1)
    index, order = rng.permutation(500)[:90], rng.permutation(90)
    names = np.array(["ant", "bee", "cat"])
    named = {key: names[outputs[key]] for key in ("labels", "population_labels")}
    theirs = {key: shadow_outputs[key][:, order] for key in ("logits", "trained_on")}
    theirs |= {"population_logits": shadow_outputs["population_logits"], "index": index[order]}
    result = audit(outputs | named | {"index": index}, theirs)
    table = result.scores.set_index("index").loc[index].reset_index()
    check(result.to_dict(), table, expected_scores(outputs, shadow_outputs, "logits"), outputs["labels"])
    assert result.scores["index"].is_monotonic_increasing


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["npz", "csv", "parquet"])
def test_the_command_on_files(suffix: str, tmp_path: Path) -> None:
    outputs, shadow_outputs = make_answers(12)
    expected = expected_scores(outputs, shadow_outputs, "logits")
    path = tmp_path / f"outputs.{suffix}"
    if suffix == "npz":
        np.savez(path, **outputs)
    else:
        columns = {f"logit_{j}": outputs["logits"][:, j] for j in (2, 0, 1)}
        frame = pd.DataFrame(columns | {"member": outputs["member"], "label": outputs["labels"], "note": "-"})
        frame.to_csv(path) if suffix == "csv" else frame.to_parquet(path)
        expected = {name: scores for name, scores in expected.items() if name not in WORLDLY}
    np.savez(tmp_path / "shadows.npz", **shadow_outputs)
    files = ["--outputs", str(path), "--shadow-outputs", str(tmp_path / "shadows.npz")]
    flags = ["--attacks", ",".join(expected), "--fpr", "0.1,0.3", "--json", "--out", str(tmp_path / "run")]
    run = CliRunner().invoke(app, ["audit", *files, *flags])
    assert run.exit_code == 0, run.output
    check(json.loads(run.stdout), pd.read_csv(tmp_path / "run" / "scores.csv"), expected, outputs["labels"])


@pytest.mark.slow
def test_all_attacks_run_and_statistics_follow_scores() -> None:
    outputs, shadow_outputs = make_answers(13)
    result = audit(outputs, shadow_outputs, attacks=["all"])
    assert {"shokri", "privacy-risk-score"} <= {attack["name"] for attack in result.to_dict()["attacks"]}
    check(result.to_dict(), result.scores, expected_scores(outputs, shadow_outputs, "logits"), outputs["labels"])


@pytest.mark.slow
def test_records_without_a_model_on_a_side_are_counted() -> None:
    outputs, shadow_outputs = make_answers(14)
    shadow_outputs["trained_on"][:, :5] = 0
    shadow_outputs["trained_on"][:, 5:8] = 1
    result = audit(outputs, shadow_outputs)
    found = [w["message"] for w in result.to_dict()["warnings"] if w["code"] == "records-not-scored"]
    assert sorted(message.partition(":")[0] for message in found) == [
        "3 of 90 records could not be scored by lira-offline, lira-offline-fixed, lira-offline-shrunk, rmia-offline, "
        "attack-r, calibration",
        "8 of 90 records could not be scored by lira-online, lira-online-fixed, lira-online-shrunk, rmia-online, base, "
        "bavaria, informia",
    ]
    check(result.to_dict(), result.scores, expected_scores(outputs, shadow_outputs, "logits"), outputs["labels"])
    assert "records-not-scored" not in {w["code"] for w in audit(*make_answers(14)).to_dict()["warnings"]}


@pytest.mark.slow
def test_the_written_study_names_saved_answers_and_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outputs, shadow_outputs = make_answers(15)
    np.savez("answers.npz", **outputs)
    np.savez("shadows.npz", **shadow_outputs)
    files = ["--outputs", "answers.npz", "--shadow-outputs", "shadows.npz"]
    first = CliRunner().invoke(app, ["audit", *files, "--attacks", "loss", "--json"])
    assert first.exit_code == 0, first.output
    [folder] = (tmp_path / "runs").iterdir()
    written = tomllib.loads((folder / "study.toml").read_text())
    assert written["data"] == {"source": "saved answers", "coins": False, "features": [], "drop": []}
    again = CliRunner().invoke(app, ["audit", str(folder / "study.toml"), "--json"])
    assert again.exit_code == 0, again.output
    assert list((tmp_path / "runs").iterdir()) == [folder]
    assert tomllib.loads((folder / "study.toml").read_text()) == written
    one, two = (json.loads(run.stdout) for run in (first, again))
    for name in ("study", "data", "headline", "records", "warnings"):
        assert one[name] == two[name], name
    del written["run"]["out"]  # a study without a folder finds the same one
    (tmp_path / "study.toml").write_text(tomli_w.dumps(written))
    assert CliRunner().invoke(app, ["audit", "study.toml"]).exit_code == 0
    assert list((tmp_path / "runs").iterdir()) == [folder]


@pytest.mark.slow
def test_the_digest_of_columns_is_that_of_their_content() -> None:
    outputs, _ = make_answers(16)
    names = np.array(["ant", "bee", "cat"])[outputs["labels"]]
    digests = {
        audit(outputs | {"labels": labels, "population_labels": names[:40]}, None, ["gap"]).to_dict()["data"]["sha256"]
        for labels in (pd.Series(names), pd.Series(names.tolist()), names.astype(object))
    }
    assert len(digests) == 1
