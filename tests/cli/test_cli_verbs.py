"""The verbs, as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from memberwise.cli.main import app, wait_asleep
from memberwise.cli.progress import progress_line
from memberwise.study.duration import duration

AUDIT = [
    *("audit", "--data", "digits", "--members", "200", "--nonmembers", "200", "--population", "100", "--quiet"),
    *("--shadow-models", "4", "--attacks", "gap,loss,lira-online-fixed", "--set", "training.epochs=5"),
]


def call(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "run"
    assert call(*AUDIT, "--out", str(out)).exit_code == 0
    return out


@pytest.mark.slow
def test_the_last_lines_are_table_verdict_and_report(folder: Path) -> None:
    done = call(*AUDIT, "--out", str(folder), "--resume")
    lines = done.stdout.strip().split("\n")
    assert lines[-1] == f"Report: {folder}/report.html"
    assert any(line.startswith("* lira-online-fixed") for line in lines)
    assert "NO LIMIT SET" in done.stdout


@pytest.mark.slow
def test_json_prints_the_result_alone(folder: Path) -> None:
    done = call(*AUDIT, "--out", str(folder), "--json")
    assert json.loads(done.stdout)["headline"] == "lira-online-fixed"
    assert json.loads(done.stdout)["schema_version"] == 2


@pytest.mark.slow
def test_resume_alone_reads_the_study_of_the_folder(folder: Path) -> None:
    call(*AUDIT, "--out", str(folder))  # the folder's study without the gates of other tests
    done = call("audit", "--resume", "--out", str(folder), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["shadow"]["resumed"] == 4


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "code"), [("auc>0.99", 0), ("gap:auc>0.501", 1), ("tpr@0.001>0.5", 3)])
def test_the_gate_sets_the_exit_code(folder: Path, rule: str, code: int) -> None:
    done = call(*AUDIT, "--out", str(folder), "--fail-if", rule)
    assert done.exit_code == code, done.output


@pytest.mark.slow
def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = call(*AUDIT, "--out", str(out), "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert "5 models on 200 records each" in done.stdout
    assert not out.exists()
    cost = json.loads(call(*AUDIT, "--out", str(out), "--dry-run", "--json").stdout)
    assert cost["models"] == 5
    assert 0 < cost["seconds"] < 60


@pytest.mark.slow
def test_the_stated_disk_is_what_is_written(folder: Path) -> None:
    cost = json.loads(call(*AUDIT, "--dry-run", "--json").stdout)
    written = sum(path.stat().st_size for path in (folder / "signals").glob("*.npz"))
    assert 0.5 * written < cost["disk_bytes"] < 1.5 * written


@pytest.mark.slow
def test_report_again_and_compared(folder: Path, tmp_path: Path) -> None:
    (folder / "report.html").unlink()
    assert call("report", str(folder)).exit_code == 0
    assert (folder / "report.html").exists()
    done = call("report", str(folder), str(folder))
    assert "cannot tell" in done.stdout
    nothing = call("report", str(tmp_path))
    assert nothing.exit_code == 2
    assert "not the folder of a finished run" in nothing.stderr


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("attacks", "lira-online"), ("data", "location30"), ("models", "mlp"), ("defences", "rounding")],
)
def test_lists(kind: str, expected: str) -> None:
    done = call("list", kind)
    assert done.exit_code == 0, done.stderr
    assert expected in done.stdout


@pytest.mark.slow
def test_the_study_that_init_writes_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("init").exit_code == 0
    assert call("init").exit_code == 2
    done = call("audit", "study.toml", "--dry-run", "--set", "training.epochs=1")
    assert done.exit_code == 0, done.stderr
    assert "65 models" in done.stdout


def test_every_key_of_the_template_is_a_key(tmp_path: Path) -> None:
    """Commented keys too: uncomment them all and read the study."""
    from memberwise.cli.init import TEMPLATE
    from memberwise.study.reading import make_study

    text = TEMPLATE.format(file="x")
    lines = [line[2:] if line.startswith("# ") and ("=" in line or "[" in line) else line for line in text.split("\n")]
    lines = [line for line in lines if not line.startswith(("A study", "Every key"))]
    import tomllib

    make_study(tomllib.loads("\n".join(lines)), "template")


def test_data_check(tmp_path: Path) -> None:
    done = call("data", "check", "digits")
    assert done.exit_code == 0
    assert "1,797" in done.stdout
    np.savez(tmp_path / "bad.npz", x=np.full((4, 2), np.nan), y=np.array([0, 0, 1, 1]))
    bad = call("data", "check", str(tmp_path / "bad.npz"))
    assert bad.exit_code == 2
    assert "NaN" in bad.stderr


def test_help_and_import_do_not_import_torch() -> None:
    code = "import sys; from memberwise.cli.main import app; import memberwise; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_an_interrupt_is_130_and_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import memberwise.auditing.shadows

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(memberwise.auditing.shadows, "gather", interrupted)
    done = call(*AUDIT, "--out", str(tmp_path / "run"))
    assert done.exit_code == 130
    assert "continues where it stopped" in done.stderr


@pytest.mark.slow
def test_a_failure_is_one_line_unless_debugged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import memberwise.auditing.shadows

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the machine is on fire")

    monkeypatch.setattr(memberwise.auditing.shadows, "gather", broken)
    done = call(*AUDIT, "--out", str(tmp_path / "run"))
    assert done.exit_code == 4
    assert "the machine is on fire" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in call(*AUDIT, "--out", str(tmp_path / "run"), "--debug").stderr


def test_progress_in_words() -> None:
    assert progress_line(12, 64, 12, 6) == "12 of 64, 2.0 models/s, 26 s left"
    assert progress_line(0, 64, 0, 1) == "0 of 64"
    assert [duration(s) for s in (45, 200, 7500)] == ["45 s", "3 min 20 s", "2 h 5 min"]


@pytest.mark.parametrize(("load", "policy"), [(0.2, None), (1e6, "PASSIVE")])
def test_threads_wait_asleep_on_a_busy_machine(
    monkeypatch: pytest.MonkeyPatch, load: float, policy: str | None
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")  # put back what is set below
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    wait_asleep()
    assert os.environ.get("OMP_WAIT_POLICY") == policy


def test_a_chosen_wait_policy_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setattr(os, "getloadavg", lambda: (1e6, 0.0, 0.0))
    wait_asleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


VERBS = [
    "audit", "defend", "screen", "reproduce", "report", "inspect", "export", "serve", "list", "init", "data",
    "evidence", "keys", "policy",
]  # fmt: skip


def test_every_verb_has_a_short_flag_for_help_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    top = CliRunner().invoke(app, ["-h"])
    assert top.exit_code == 0
    assert "..." not in top.stdout.split("Commands:")[1], "every summary fits its line"
    for verb in VERBS:
        assert f"\n  {verb} " in top.stdout
        assert "-h, --help" in CliRunner().invoke(app, [verb, "-h"]).stdout, verb
    assert "-h, --help" in CliRunner().invoke(app, ["keys", "new", "-h"]).stdout


@pytest.mark.parametrize(
    ("words", "place", "wanted"), [("memberwise aud", 1, "audit"), ("memberwise list att", 2, "attacks")]
)
def test_shell_completes_verbs_and_their_arguments(
    words: str, place: int, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"COMPLETE": "complete_bash", "WORDS": words, "CWORD": str(place)}.items():
        monkeypatch.setenv(f"COMP_{name}" if name != "COMPLETE" else "_MEMBERWISE_COMPLETE", value)
    assert CliRunner().invoke(app, [], prog_name="memberwise").stdout.split() == [wanted]


@pytest.mark.parametrize("kind", ["attacks", "defences", "data", "models"])
def test_lists_are_legible_in_80_columns(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = CliRunner().invoke(app, ["list", kind]).stdout.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    words = sum(len(line.split()) for line in lines if line.strip())
    assert words / len(lines) > 4, "no column of single words"
