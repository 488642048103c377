"""Evidence packs: every byte counts, what was not run is said, and nothing is claimed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memberwise.cli.main import app
from memberwise.errors import RunFolderError, StudyError
from memberwise.publishing import evidence
from memberwise.publishing.annex import IN_SCOPE, NO_CLAIM, OUT, UNKNOWN, rows
from memberwise.publishing.evidence import make_pack, verify_pack
from memberwise.publishing.pdf import PROGRAMS
from memberwise.report.result import Result
from memberwise.store.signing import make_key_pair

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def run(published_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of one's own; the PDF is another test's."""
    monkeypatch.setattr(evidence, "print_to_pdf", lambda page: (None, "none in this test"))
    return Path(shutil.copytree(published_run, tmp_path / "run"))


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


def test_whole_pack_passes_with_its_key_alone(run: Path, tmp_path: Path) -> None:
    public, other = make_key_pair(tmp_path / "a"), make_key_pair(tmp_path / "b")
    pack = make_pack(run, run / "evidence", NOW, key=tmp_path / "a")
    found = verify_pack(run, public)
    assert (found.problems, found.known) == ((), True)
    assert found.run_files is not None
    assert found.run_files >= 6
    assert verify_pack(pack).problems == ()
    assert "not this key's" in verify_pack(run, other).problems[0]


def test_one_changed_byte_anywhere_fails(run: Path, tmp_path: Path) -> None:
    public = make_key_pair(tmp_path / "a")
    pack = make_pack(run, run / "evidence", NOW, key=tmp_path / "a")
    files = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    assert {path.parent for path in files} >= {pack, run}
    for file in files:
        before = file.read_bytes()
        if not before:
            continue
        _flip(file)
        try:
            problems = verify_pack(run, public).problems
        except StudyError:
            problems = ("cannot be read",)
        assert problems, file
        file.write_bytes(before)
    assert verify_pack(run, public).problems == ()


def test_lost_and_added_files_fail(run: Path) -> None:
    pack = make_pack(run, run / "evidence", NOW)
    (pack / "more.txt").write_text("x")
    (run / "curves.npz").unlink()
    assert verify_pack(pack).problems == ("more.txt was added", "run: curves.npz is lost")


def test_changed_manifest_fails_only_where_it_is_signed(run: Path, tmp_path: Path) -> None:
    make_key_pair(tmp_path / "a")
    for key, passes in ((None, True), (tmp_path / "a", False)):
        pack = make_pack(run, tmp_path / f"pack-{passes}", NOW, key=key)
        (pack / "annex.md").write_text("all is well")
        manifest = json.loads((pack / "manifest.json").read_text())
        manifest["files"]["annex.md"] = evidence._digest(pack / "annex.md")
        (pack / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        assert (verify_pack(pack).problems == ()) is passes


def test_manifest_cannot_name_files_outside(run: Path, tmp_path: Path) -> None:
    pack = make_pack(run, tmp_path / "pack", NOW)
    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["files"]["../run/scores.csv"] = evidence._digest(run / "scores.csv")
    (pack / "manifest.json").write_text(json.dumps(manifest))
    assert verify_pack(pack).problems == ("../run/scores.csv is lost",)


def test_annex_says_what_was_not_run_and_claims_nothing(run: Path) -> None:
    text = (make_pack(run, run / "evidence", NOW) / "annex.md").read_text("utf-8")
    assert NO_CLAIM in text
    assert "a hospital's own network" in text
    result = Result.load(run).parts
    status = {(row.text.rpartition(", ")[2], row.asks): row.status for row in rows(result)}
    assert status["paragraph 55 (i)", "membership inference"] == IN_SCOPE
    for place, what in (
        ("(i)", "attribute inference"), ("(ii)", "exfiltration"), ("(iii)", "regurgitation of training data"),
        ("(iv)", "model inversion"), ("(v)", "reconstruction"),
    ):  # fmt: skip
        assert status[f"paragraph 55 {place}", what] == OUT
    assert {row.text.rpartition(", ")[2].split(" (")[0] for row in rows(result)} == {
        "paragraph 46", "paragraph 55", "paragraph 58", "C11.3.1", "C11.3.2", "C11.3.3",
    }  # fmt: skip
    for skipped in result.skipped:
        assert skipped.name in text.replace("\\", "")


@pytest.mark.parametrize(("kind", "known"), [("trained here", True), ("file", False), ("endpoint", False)])
def test_annex_says_nothing_of_training_not_seen(run: Path, kind: str, known: bool) -> None:
    result = Result.load(run).parts
    given = replace(result, target=replace(result.target, kind=kind), study={**result.study, "answer": []})
    status = {row.text: row for row in rows(given) if row.text.startswith("OWASP")}
    for number in (1, 2):
        assert (status[f"OWASP AISVS, C11.3.{number}"].status != UNKNOWN) is known
    assert ("trains without it" in status["OWASP AISVS, C11.3.2"].here) <= known


def test_redacted_pack_names_no_record(run: Path) -> None:
    pack = make_pack(run, run / "evidence", NOW, redact=True)
    assert json.loads((pack / "result.json").read_text())["records"]["worst"] == []
    assert not (pack / "scores.csv").exists()


def test_folder_of_something_else_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(RunFolderError):
        make_pack(run, tmp_path / "mine", NOW)
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize("manifest", ['{"name": "my app", "icons": []}', "not even JSON", None])
def test_folder_with_another_manifest_loses_nothing(run: Path, tmp_path: Path, manifest: str | None) -> None:
    mine = tmp_path / "mine"
    (mine / "src").mkdir(parents=True)
    if manifest is None:  # a pack among other things
        make_pack(run, tmp_path / "pack", NOW)
        manifest = (tmp_path / "pack" / "manifest.json").read_text()
    (mine / "manifest.json").write_text(manifest)
    (mine / "src" / "thesis.txt").write_text("x")
    with pytest.raises(RunFolderError):
        make_pack(run, mine, NOW)
    assert (mine / "src" / "thesis.txt").exists()
    assert (mine / "manifest.json").read_text() == manifest


def test_pack_broken_off_fails_and_is_made_anew(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(page: Path) -> tuple[None, str]:
        raise KeyboardInterrupt

    make_pack(run, run / "evidence", NOW)
    monkeypatch.setattr(evidence, "print_to_pdf", killed)
    with pytest.raises(KeyboardInterrupt):
        make_pack(run, run / "evidence", NOW)
    assert "not finished" in verify_pack(run).problems[0]
    monkeypatch.setattr(evidence, "print_to_pdf", lambda page: (None, "none in this test"))
    make_pack(run, run / "evidence", NOW)
    assert verify_pack(run).problems == ()


def test_pack_is_verified_from_inside_its_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_pack(run, run / "evidence", NOW))
    found = verify_pack(Path())
    assert found.problems == ()
    assert found.run_files


def test_command_line_signs_verifies_and_fails(run: Path, tmp_path: Path) -> None:
    runner, key = CliRunner(), str(tmp_path / "key")
    made = runner.invoke(app, ["evidence", str(run), "--sign", key, "--new-key"])
    assert made.exit_code == 0, made.output
    assert "claims no compliance" in made.output
    assert runner.invoke(app, ["evidence", "verify", str(run), "--key", key + ".pub"]).exit_code == 0
    _flip(run / "evidence" / "report.html")
    assert runner.invoke(app, ["evidence", "verify", str(run)]).exit_code == 1
    assert runner.invoke(app, ["evidence", "verify", str(tmp_path)]).exit_code == 2


@pytest.mark.slow
@pytest.mark.services
def test_pdf_holds_every_record_and_attack(published_run: Path, tmp_path: Path) -> None:
    if not any(map(shutil.which, PROGRAMS)):
        pytest.skip("needs Chromium: apt-get install chromium")
    pack = make_pack(published_run, tmp_path / "pack", NOW)
    assert (pack / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert (pack / "report.pdf").stat().st_size > 20_000
