"""An output defence of the user's own: the page's example, and what is said of one that fails."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import memberwise as mw

PAGE = Path(__file__).parents[2] / "docs" / "defences.md"
FAILING = """
from memberwise.defences.output import OutputDefence


class Mine(OutputDefence):
    def answer(self, target, x, states, keys):
        {body}
"""


def audit(answer: str, out: Path) -> mw.Result:
    settings = {"answer": [answer], "training.epochs": 1, "model.hidden": [8]}
    small = {"members": 60, "nonmembers": 60, "shadow_models": 2}
    return mw.audit(data="digits", attacks=["loss"], settings=settings, out=out, **small)  # type: ignore[arg-type]


@pytest.mark.slow
def test_example_of_the_page_keeps_labels(tmp_path: Path) -> None:
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "class Shrink" in block
    )
    file = tmp_path / "mine.py"
    file.write_text(code)
    plain = audit("rounding", tmp_path / "plain").to_dict()["target"]
    shrunk = audit(f"{file}:Shrink", tmp_path / "shrunk").to_dict()["target"]
    assert shrunk["test_accuracy"] == plain["test_accuracy"]
    assert shrunk["test_loss"] != plain["test_loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("raise RuntimeError('ouch')", r"RuntimeError: ouch(.|\n)*mine\.py, line 7"),
        ("return target.predict(x)[0]", r"shape \(\d+, 10\), where \(1, \d+, 'classes'\) is expected"),
        ("return target.predict(x) * float('nan')", "it answers NaN"),
    ],
)
def test_failing_defence_is_named(body: str, found: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FAILING.format(body=body))
    with pytest.raises(mw.TrainingError, match=f"the output defence Mine fails(.|\\n)*{found}"):
        audit(f"{file}:Mine", tmp_path / "run")


@pytest.mark.slow
def test_bare_name_stands_for_a_defence(tmp_path: Path) -> None:
    study = audit("rounding", tmp_path).to_dict()["study"]
    assert study["answer"] == [{"name": "rounding"}]
    assert np.isfinite(audit("rounding", tmp_path).auc().value)
