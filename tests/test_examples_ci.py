"""The workflows of examples/ci hold to their platforms' structure, and every command in them is one that exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from memberwise.cli.main import app

CI = Path(__file__).parents[1] / "examples" / "ci"
STEP = {"id", "name", "if", "uses", "run", "with", "env", "continue-on-error", "shell", "timeout-minutes"}
JOB = {"runs-on", "timeout-minutes", "permissions", "steps", "needs", "if", "env"}
GITLAB_JOB = {
    "image", "timeout", "rules", "before_script", "script", "after_script", "allow_failure", "artifacts", "needs",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("github.yml", ["vendor.github-workflows"]),
        ("gitlab.yml", ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
)
def test_workflow_holds_to_its_platforms_own_schema(name: str, schema: list[str]) -> None:
    """The schemas are the platforms', as the validator ships them: nothing is fetched."""
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema, str(CI / name)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _read(name: str) -> Any:
    return yaml.safe_load((CI / name).read_text("utf-8"))


def test_github_workflow_has_its_platforms_structure() -> None:
    workflow = _read("github.yml")
    assert set(workflow) == {"name", True, "permissions", "jobs"}, "YAML 1.1 reads the key `on` as true"
    assert set(workflow[True]) == {"pull_request", "push"}, "not pull_request_target, which has the owner's secrets"
    for job in workflow["jobs"].values():
        assert set(job) <= JOB
        for step in job["steps"]:
            assert set(step) <= STEP
            assert ("uses" in step) != ("run" in step)
            # What others write is never pasted into a script.
            assert not re.search(r"\$\{\{\s*github\.(event|head_ref)", step.get("run", ""))
    assert "GITHUB_STEP_SUMMARY" in (CI / "github.yml").read_text("utf-8")


def test_gitlab_workflow_has_its_platforms_structure() -> None:
    for job in _read("gitlab.yml").values():
        assert set(job) <= GITLAB_JOB
        assert all(isinstance(line, str) for line in [*job["script"], *job["before_script"]])
    assert _read("gitlab.yml")["membership-leakage"]["artifacts"]["reports"] == {"junit": "run/junit.xml"}


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml", "before-release.sh"])
def test_every_command_is_one_that_exists(name: str) -> None:
    """Verbs and flags, as the command line itself parses them."""
    lines = [line.partition(" && ")[2] or line for line in (CI / name).read_text("utf-8").splitlines()]
    calls = [line[line.index("memberwise ") :] for line in lines if re.match(r"[\s-]*(run: )?memberwise \w", line)]
    commands = [shlex.split(call.split(" > ")[0].split(" >> ")[0])[1:] for call in calls]
    assert len(commands) >= 3
    for words in commands:
        command: Any = get_command(app)
        context = command.make_context("memberwise", list(words[:1]), resilient_parsing=True)
        while hasattr(command, "get_command") and words:
            found = command.get_command(context, words[0])
            if found is None:
                break
            command, words = found, words[1:]
        command.make_context(command.name, list(words))
