"""One small audit of saved answers, in a run folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import memberwise as mw
from memberwise.report.result import Result


@pytest.fixture(scope="session")
def published_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    member = np.arange(1000) % 2
    logit = rng.normal(size=1000) + 0.8 * member
    saved = {"logits": np.stack([logit / 2, -logit / 2], 1), "labels": np.zeros(1000, int), "member": member}
    folder = tmp_path_factory.mktemp("published") / "run"
    release = {"release": {"context": "a hospital's own network", "audience": "its physicians"}}
    mw.audit(release, outputs=saved, attacks=["loss", "gap"], fail_if="loss:auc>0.8", out=folder)
    return folder


@pytest.fixture
def published(published_run: Path) -> Result:
    return Result.load(published_run)
