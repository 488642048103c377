"""What an audit would cost, from fewer records than it will ask about."""

from __future__ import annotations

import pytest

from memberwise.auditing import cost
from memberwise.auditing.cost import estimate_cost
from memberwise.study.schema import Study


@pytest.mark.slow
def test_early_checkpoints_are_asked_about_the_few_records_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked about places among all audited and population records; a calibration holds the first of each."""
    monkeypatch.setattr(cost, "CALIBRATION_RECORDS", 20)
    data = {"source": "digits", "members": 60, "nonmembers": 60, "population": 100}
    study = {"data": data, "model": {"hidden": (8,)}, "training": {"epochs": 6}, "shadow": {"count": 4}}
    told = estimate_cost(Study.model_validate(study | {"attacks": {"use": ("learned",)}}))
    assert 0 < told.seconds < 600
    assert told.models == 5
