"""Single records in the files of a run: left out where asked, named and kept from others where not."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_report_lead import canaries

from memberwise.errors import RunFolderError
from memberwise.report import compare, files, html
from memberwise.report.redact import holds_records, redacted
from memberwise.report.result import Result
from memberwise.signals.knowledge import read_transfer
from memberwise.store.blocks import BlockStore
from memberwise.store.files import json_values, whole_file, write_atomically

PRIVATE = {"report.html", "result.json", "scores.csv", "curves.npz"}


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Any) -> Any:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def full(audit: Any) -> tuple[Any, Any]:
    """An audit with single records wherever a result can hold them; row numbers no other figure shows."""
    rows = np.arange(12) * 1_000_003 + 700_000_001
    part = canaries(0.66, 0.55)
    part["per_canary"]["most_exposed"] = [{"index": int(rows[0]), "found": 4, "models": 4, "wrongly": 1}]
    audit.result["canaries"] = part
    audit.result["epsilon"]["record"] = int(rows[1])
    for record, row in zip(audit.result["records"]["worst"], rows, strict=True):
        record |= {"index": int(row), "label": "rare-label"}
    audit.curves["worst.index"] = rows
    audit.curves["canaries.index"], audit.curves["canaries.found"] = rows, np.linspace(1, 0, 12)
    audit.curves["canaries.fpr"] = audit.curves["canaries.tpr"] = np.array([0.0, 0.1, 1.0])
    audit.result["records"]["per_group"].append(
        {"name": "only-one", "n_members": 1, "n_nonmembers": 0, "auc": None, "tpr": None}
    )
    return audit, {str(row) for row in rows} | {"rare-label", "only-one"}


def wanted(audit: Any, **report: Any) -> Any:
    audit.result["study"]["report"] = {"redact": False, "redact_scores": False} | report
    return audit


@pytest.mark.slow
def test_what_is_redacted_names_nobody_and_keeps_every_figure(full: Any, tmp_path: Path) -> None:
    audit, secrets = full
    files.write_all(tmp_path, wanted(audit, redact=True).parts, audit.scores, audit.curves)
    result, _, curves = files.read_all(tmp_path)
    for name in ("result.json", "report.html", "junit.xml", "model_card.md"):
        text = (tmp_path / name).read_text()
        assert not [secret for secret in secrets if secret in text], name
        assert "data:image/png" not in text
    assert not holds_records(result.to_dict())
    assert result.records.worst == ()
    assert result.redacted == ("records",)
    assert not [name for name in curves if name.startswith("worst.") or name == "canaries.index"]
    np.testing.assert_array_equal(curves["canaries.found"], np.sort(audit.curves["canaries.found"]))
    written = json_values(audit.result)
    for part in ("attacks", "verdict", "data", "target", "headline", "family"):
        assert result.to_dict()[part] == written[part]
    assert result.epsilon.value == audit.result["epsilon"]["value"]  # type: ignore[union-attr]
    assert len(result.records.per_class) == 10
    assert "left out of this page" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_a_redacted_run_is_reported_and_compared_as_any(full: Any, tmp_path: Path) -> None:
    audit, secrets = full
    files.write_all(tmp_path / "open", wanted(audit).parts, audit.scores, audit.curves)
    files.write_all(tmp_path / "shut", wanted(audit, redact_scores=True).parts, audit.scores, audit.curves)
    shut, plain = Result.load(tmp_path / "shut"), Result.load(tmp_path / "open")
    again = shut.to_html(tmp_path / "again.html").read_text()
    assert again == (tmp_path / "shut" / "report.html").read_text()
    assert not [secret for secret in secrets if secret in again]
    for row in compare.compared(plain.parts, shut.parts):
        assert row.first == row.second
    assert shut.auc() == plain.auc()


@pytest.mark.slow
def test_scores_stay_whole_unless_they_are_to_be_redacted_too(full: Any, tmp_path: Path) -> None:
    audit, _ = full
    files.write_all(tmp_path / "records", wanted(audit, redact=True).parts, audit.scores, audit.curves)
    assert list(files.read_all(tmp_path / "records")[1])[:4] == ["index", "label", "member", "evaluated"]
    files.write_all(tmp_path / "scores", wanted(audit, redact_scores=True).parts, audit.scores, audit.curves)
    result, scores, _ = files.read_all(tmp_path / "scores")
    assert result.redacted == ("records", "scores")
    assert list(scores)[:2] == ["member", "evaluated"]
    names = [attack["name"] for attack in audit.result["attacks"]]
    pd.testing.assert_frame_equal(
        scores[names].sort_values(names, ignore_index=True),
        audit.scores[names].sort_values(names, ignore_index=True),
        check_dtype=False,
    )
    original = audit.scores.sort_values("index")["lira-online-fixed"].to_numpy()
    assert not np.array_equal(scores["lira-online-fixed"].to_numpy(), original, equal_nan=True)
    (tmp_path / "scores" / "signals").mkdir()
    answers = {f"audited.{name}": np.zeros((1, 3000, 1), np.float32) for name in ("log_p", "log_1mp")}
    answers |= {"audited.correct": np.ones((1, 3000, 1), bool), "audited.vectors": np.zeros((1, 3000, 2), np.float32)}
    answers |= {"kind": np.array(["logits"]), "saturated": np.zeros(1)}  # type: ignore[dict-item]
    BlockStore(tmp_path / "scores" / "signals").save("block-00000", ["key"], [-1], answers)
    with pytest.raises(RunFolderError, match="does not tell which record is whose"):
        read_transfer(tmp_path / "scores")


@pytest.mark.slow
def test_the_page_says_which_personal_data_it_holds(full: Any) -> None:
    audit, secrets = full
    page = html.render(audit.parts, audit.scores, audit.curves)
    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "This page is personal data. It holds row numbers, labels, membership, scores and thumbnails of 12" in words
    assert "the row numbers of the canaries found most often (1)" in words
    assert all(secret in page for secret in secrets)
    bare = redacted(audit.parts, audit.scores, audit.curves, and_scores=False)
    assert "This page is personal data" not in html.render(*bare)


@pytest.mark.slow
@pytest.mark.parametrize("mask", [0o022, 0o000, 0o077])
def test_files_with_single_records_are_their_owners_alone(full: Any, tmp_path: Path, mask: int) -> None:
    audit, _ = full
    with umask(mask):
        files.write_all(tmp_path / "open", wanted(audit).parts, audit.scores, audit.curves)
        files.write_all(tmp_path / "shut", wanted(audit, redact=True).parts, audit.scores, audit.curves)
        BlockStore(tmp_path / "open" / "signals").save("block-00000", ["key"], [-1], {"a": np.zeros(3)})
        Result.load(tmp_path / "open").to_html(tmp_path / "again.html")
    found, public = modes(tmp_path / "open"), 0o666 & ~mask
    assert {name for name, mode in found.items() if mode == 0o600} >= PRIVATE
    assert found["junit.xml"] == found["model_card.md"] == public
    assert modes(tmp_path)["again.html"] == 0o600
    assert modes(tmp_path / "open" / "signals") == {"block-00000.npz": 0o600, "manifest.json": public}
    shut = modes(tmp_path / "shut")
    assert shut["scores.csv"] == 0o600
    assert {shut[name] for name in ("report.html", "result.json", "curves.npz")} == {public}


def test_nobody_can_read_a_private_file_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old, and everybody's")
    path.chmod(0o644)
    with umask(0), whole_file(path, private=True) as file:
        file.write(b"new")
        file.flush()
        [part] = [other for other in tmp_path.iterdir() if other != path]
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        assert path.read_text().startswith("old")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_crash_left_behind_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    left = tmp_path / f".{path.name}.{os.getpid()}.part"
    left.write_text("half")
    left.chmod(0o666)
    write_atomically(path, b"whole", private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(json.dumps(path.read_text())) == "whole"
    assert list(tmp_path.iterdir()) == [path]
