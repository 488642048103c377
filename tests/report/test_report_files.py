from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plain_results import attack_of

from memberwise.errors import RunFolderError
from memberwise.report import compare, files, lead
from memberwise.report.html import render
from memberwise.report.junit import junit
from memberwise.report.modelcard import model_card
from memberwise.store.files import json_values, to_json, write_text

WRITTEN = {"result.json", "scores.csv", "curves.npz", "report.html", "junit.xml", "model_card.md"}


def _write(audit: Any, folder: Any) -> Any:
    files.write_all(folder, audit.parts, audit.scores, audit.curves)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("which", ["audit", "bare", "hostile"])
def test_what_is_written_reads_back(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    audit = request.getfixturevalue(which)
    folder = _write(audit, tmp_path / "runs" / "one")
    assert {path.name for path in folder.iterdir()} == WRITTEN
    result, scores, curves = files.read_all(folder)
    assert json_values(result.to_dict()) == json_values(audit.result)
    expected = audit.scores.sort_values("index", ignore_index=True)
    pd.testing.assert_frame_equal(scores, expected, check_dtype=False, rtol=0, atol=0)
    assert curves.keys() == audit.curves.keys()
    for name, curve in audit.curves.items():
        np.testing.assert_array_equal(curves[name], curve)
        assert curves[name].dtype == curve.dtype


@pytest.mark.slow
def test_writing_twice_gives_the_same_bytes(audit: Any, tmp_path: Path) -> None:
    first, second = _write(audit, tmp_path / "a"), _write(audit, tmp_path / "b")
    for name in WRITTEN:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_the_json_keeps_the_order_of_the_schema_and_knows_no_nan(audit: Any) -> None:
    audit.result["attacks"][0]["auc"]["value"] = np.float64("nan")
    audit.result["target"]["train_loss"] = float("inf")
    audit.result["data"]["records"] = np.int64(70000)
    audit.result["study"]["fprs"] = np.array([0.5, np.nan])
    text = to_json(audit.result)

    def refuse(name: Any) -> None:
        raise AssertionError(name)

    back = json.loads(text, parse_constant=refuse)
    assert list(back) == list(audit.result)
    assert back["attacks"][0]["auc"]["value"] is back["target"]["train_loss"] is None
    assert back["data"]["records"] == 70000
    assert back["study"]["fprs"] == [0.5, None]
    assert back["records"]["worst"][0]["member"] in (0, 1)


def test_scores_are_sorted_exact_and_empty_where_missing(audit: Any) -> None:
    audit.scores.loc[audit.scores["index"].idxmin(), ["loss", "gap"]] = [0.1 + 0.2, np.nan]
    head, first, *rows = files.to_csv(audit.scores).splitlines()
    assert head.split(",")[:6] == ["index", "label", "member", "evaluated", "gap", "loss"]
    index = [int(row.split(",")[0]) for row in [first, *rows]]
    assert index == sorted(index)
    assert first.split(",")[4:6] == ["", "0.30000000000000004"]


@pytest.mark.slow
def test_a_label_that_reads_like_a_missing_value_stays(audit: Any, tmp_path: Path) -> None:
    audit.scores["label"] = "NA"
    _, scores, _ = files.read_all(_write(audit, tmp_path))
    assert set(scores["label"]) == {"NA"}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    write_text(path, "old")

    def full(_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_the_result_is_written_last(audit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    write = files.write_atomically  # type: ignore[attr-defined]

    def noted(path: Any, content: Any, *, private: bool = False) -> None:
        order.append(path.name)
        write(path, content, private=private)

    for where in ("memberwise.store.files", "memberwise.report.files"):
        monkeypatch.setattr(f"{where}.write_atomically", noted)
    _write(audit, tmp_path)
    assert order[-1] == "result.json"
    assert set(order) == WRITTEN


@pytest.mark.slow
@pytest.mark.parametrize("name", ["result.json", "scores.csv", "curves.npz"])
def test_a_missing_or_broken_file_is_named(audit: Any, tmp_path: Path, name: str) -> None:
    folder = _write(audit, tmp_path)
    (folder / name).write_bytes(b"")
    with pytest.raises(RunFolderError, match="not the folder of a finished run"):
        files.read_all(folder)
    (folder / name).unlink()
    with pytest.raises(RunFolderError, match=name):
        files.read_all(folder)


@pytest.mark.slow
def test_another_schema_is_refused(audit: Any, tmp_path: Path) -> None:
    audit.result["schema_version"] = 3
    with pytest.raises(RunFolderError, match="schema_version 1 or 2"):
        files.read_all(_write(audit, tmp_path))


@pytest.mark.slow
def test_a_result_of_the_first_version_is_still_read(audit: Any, tmp_path: Path) -> None:
    folder = _write(audit, tmp_path)
    old = json.loads((folder / "result.json").read_text()) | {"schema_version": 1}
    del old["family"], old["redacted"], old["verdict"]["rules"], old["verdict"]["withheld"]
    (folder / "result.json").write_text(json.dumps(old))
    result, scores, curves = files.read_all(folder)
    assert (result.schema_version, result.family, result.verdict.rules) == (1, None, ())
    assert lead.verdict_sentence(result)
    assert render(result, scores, curves)
    assert {case.get("name") for case in ET.fromstring(junit(result)).iter("testcase")} == {"tpr@0.01>0.05"}
    compared = compare.compared(result, audit.parts)
    assert {row.finding for row in compared if row.figure == "AUC"} == {"cannot tell apart"}


def _gate(audit: Any, *outcomes: Any) -> Any:
    rules = [
        {"rule": f"auc>0.{k}", "passed": passed, "reason": f"because {k}", "broken_by": []}
        for k, passed in enumerate(outcomes, 6)
    ]
    gate = "; ".join(rule["rule"] for rule in rules) or None
    attack_of(audit.result)["auc"] |= {"low": 0.6, "high": 0.7}
    audit.result["verdict"] = {"gate": gate, "passed": None, "reason": "several", "rules": rules, "withheld": []}
    root = ET.fromstring(junit(audit.parts).encode())
    return root.find("testsuite")


def test_each_rule_is_a_test_case_with_its_own_outcome(audit: Any) -> None:
    suite = _gate(audit, False, None, True)
    assert {key: suite.get(key) for key in ("tests", "failures", "skipped", "errors")} == {
        "tests": "3", "failures": "1", "skipped": "1", "errors": "0",
    }  # fmt: skip
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == ["auc>0.6", "auc>0.7", "auc>0.8"]
    assert [[child.tag for child in case] for case in cases] == [["failure"], ["skipped"], []]
    assert "because 6" in cases[0].find("failure").get("message")


def test_without_a_gate_one_case_passes(audit: Any) -> None:
    suite = _gate(audit)
    assert [case.get("name") for case in suite.findall("testcase")] == ["audit"]
    assert suite.get("failures") == suite.get("skipped") == "0"


def test_the_properties_hold_the_figures_with_their_intervals(audit: Any) -> None:
    found = {p.get("name"): p.get("value") for p in _gate(audit).iter("property")}
    assert found["headline"] == "lira-online-fixed"
    assert found["AUC"].endswith("(0.600\u20130.700)")
    assert found["sha256"] == "ab" * 32


def test_hostile_text_is_still_xml(hostile: Any) -> None:
    root = ET.fromstring(junit(hostile.parts).encode())
    assert "<script>" in root.find("testsuite/system-out").text  # type: ignore[operator, union-attr]
    assert "\N{REPLACEMENT CHARACTER}" in root.find("testsuite/system-out").text  # type: ignore[operator, union-attr]


def test_the_model_card_says_what_how_much_and_how_sure(audit: Any) -> None:
    card = model_card(audit.parts)
    assert card.startswith("## Privacy: membership inference\n")
    assert "1,500 of its training records (members) and 1,500 non-members" in card
    assert "with 64 shadow models" in card
    assert "| AUC | " in card
    assert "95% interval" in card
    assert "do not speak about retraining" in card
    assert "**Limits**" in card


def test_the_model_card_bears_gaps(bare: Any) -> None:
    assert "without shadow models" in model_card(bare.parts)


def test_the_model_card_bears_malice(hostile: Any) -> None:
    assert "<script>" not in model_card(hostile.parts).replace("\\<script\\>", "")
