"""The assertion for test suites, on finished results and on a real audit; the fixture in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memberwise as mw
from memberwise.testing import assert_leakage_below
from memberwise.testing.assertion import judged_anew

EXAMPLES = Path(__file__).parents[1] / "examples" / "ci"


def _audited(shift: float, **more: Any) -> mw.Result:
    """Saved answers whose members are ``shift`` standard deviations surer."""
    rng = np.random.default_rng(0)
    member = np.arange(2000) % 2
    logit = rng.normal(size=2000) + shift * member
    logits = np.stack([logit / 2, -logit / 2], axis=1)
    saved = {"logits": logits, "labels": np.zeros(2000, int), "member": member}
    return mw.audit(outputs=saved, attacks=["loss", "gap"], **more)


@pytest.fixture(scope="module")
def leaky() -> mw.Result:
    return _audited(2.0)


def test_result_is_judged_as_its_audit_would_have_been(leaky: mw.Result) -> None:
    with pytest.raises(AssertionError, match=r"exceeded.*\n.*the attack loss"):
        assert_leakage_below("auc>0.6", result=leaky)
    assert assert_leakage_below("loss:auc>0.99", result=leaky) is leaky
    for rule in ("auc>0.6", "loss:auc>0.99", "tpr@0.1>0.7", "tpr@0.1>0.55"):
        passed, _ = judged_anew(leaky, (rule,))
        assert passed is _audited(2.0, fail_if=rule).passed


@pytest.mark.slow
def test_a_limit_kept_without_a_cascade_is_told(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"members": 100, "nonmembers": 100, "population": 100, "shadow_models": 4}
    few: dict[str, Any] = sizes | {"data": "digits", "attacks": ["learned"], "settings": {"training.epochs": 3}}
    bare = mw.audit(**few, out=tmp_path / "bare")
    with pytest.warns(UserWarning, match="kept by the attacks that ran, and a cascade"):
        assert_leakage_below("auc>0.99", result=bare)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_leakage_below("learned:auc>0.99", result=bare)
        gated = assert_leakage_below("auc>0.99", **few, out=tmp_path / "gated")
        assert_leakage_below("auc>0.99", result=gated)


def test_swapped_members_pass_neither_anew_nor_at_once() -> None:
    swapped = _audited(-2.0)
    assert _audited(-2.0, fail_if="auc>0.6").passed is None
    passed, reason = judged_anew(swapped, ("auc>0.6",))
    assert passed is None
    assert "worse than guessing" in reason
    with pytest.raises(AssertionError, match="not shown to be kept"):
        assert_leakage_below("auc>0.6", result=swapped)


def test_undecided_limit_fails_unless_it_may(leaky: mw.Result) -> None:
    limit = f"auc>{leaky.auc('loss').value:.3f}"
    with pytest.raises(AssertionError, match="not shown to be kept"):
        assert_leakage_below(limit, result=leaky)
    assert assert_leakage_below(limit, result=leaky, allow_inconclusive=True) is leaky


@pytest.mark.parametrize("rules", [(), ("epsilon>1",), ("recall>0.5",), ("nobody:auc>0.6",), ("auc>0.5",)])
def test_rules_that_cannot_be_judged_are_errors(leaky: mw.Result, rules: tuple[str, ...]) -> None:
    with pytest.raises(mw.StudyError):
        assert_leakage_below(*rules, result=leaky)


@pytest.mark.slow
def test_fixture_runs_the_example(tmp_path: Path) -> None:
    # By its module, whether it is installed or not; where it is, under its name, it would be there twice.
    plugin = ["-p", "no:memberwise", "-p", "memberwise.testing.plugin"]
    flags = ["-q", "-n", "0", *plugin, "-p", "no:cacheprovider", "-c", os.devnull]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *flags, str(EXAMPLES / "test_release.py")],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
