"""The worked example of docs/adding-an-attack.md runs, and its attack works."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_runs_and_beats_the_loss(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "my_attack.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    auc = {line.split()[0]: float(line.split()[-1]) for line in lines if "AUC" in line}
    assert auc["median"] > auc["loss"] + 0.05
    assert lines[-1] == "rmia-offline   skipped: needs answers on population records, and there are none"


def test_the_page_shows_the_code_of_the_example() -> None:
    """The page's first code block is, line by line, in the example."""
    page = (ROOT / "docs" / "adding-an-attack.md").read_text()
    example = (ROOT / "examples" / "my_attack.py").read_text()
    block = page.split("```python\n")[1].split("```")[0]
    assert block.strip() in example


@pytest.mark.parametrize("name", ["src/memberwise/attacks/registry.py", "tests/attacks/test_attacks_registry.py"])
def test_the_page_names_files_that_exist(name: str) -> None:
    assert name in (ROOT / "docs" / "adding-an-attack.md").read_text()
    assert (ROOT / name).exists()
