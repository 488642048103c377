"""The published JSON Schemas are those of the types, and what audits write keeps to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

import memberwise as mw
from memberwise.errors import RunFolderError
from memberwise.frontier.json_schemas import FILES
from memberwise.report.schema import AuditResult, result_schema
from memberwise.store.files import json_values

DOCS = Path(__file__).parents[2] / "docs"
SMALL = {"data": "digits", "members": 60, "nonmembers": 60, "shadow_models": 4, "seed": 3}
FAST: dict[str, Any] = {"training.epochs": 2, "model.hidden": [8]}


def faults(values: dict[str, Any]) -> list[str]:
    return [f"{list(e.absolute_path)}: {e.message}" for e in Draft202012Validator(result_schema()).iter_errors(values)]


@pytest.mark.parametrize("name", FILES)
def test_published_schema_equals_generated(name: str) -> None:
    """Else: python -m memberwise.frontier.json_schemas docs"""
    schema = FILES[name]()
    Draft202012Validator.check_schema(schema)
    assert json.loads((DOCS / name).read_text("utf-8")) == schema


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"settings": FAST, "fail_if": "auc>0.5001"},
        {"settings": FAST | {"canaries.count": 20, "statistics.targets": 3}},
        {"settings": FAST | {"data.coins": True}, "fail_if": "epsilon>0.1"},
        {"settings": FAST | {"report.redact": True}, "population": 250},
        {"settings": FAST | {"answer": [{"name": "label-only"}]}, "attacks": ["gap"]},
    ],
    ids=["gate", "canaries", "coins", "redacted", "labels"],
)
def test_real_result_validates_and_survives_types(more: dict[str, Any], tmp_path: Path) -> None:
    mw.audit(out=tmp_path, **SMALL | more)  # type: ignore[arg-type]
    text = (tmp_path / "result.json").read_text("utf-8")
    written = json.loads(text)
    assert faults(written) == []
    again = json_values(AuditResult.from_dict(written).to_dict())
    if "redacted" not in written:
        assert again.pop("redacted") == []
    assert json.dumps(again) == json.dumps(written), "every key, in its order"


@pytest.mark.parametrize("which", ["audit", "bare", "hostile"])
def test_example_validates(which: str, request: pytest.FixtureRequest) -> None:
    assert faults(json_values(request.getfixturevalue(which).result)) == []


def test_unknown_or_missing_key_is_a_fault(audit: Any) -> None:
    audit.result["attacks"][0]["acu"] = audit.result["attacks"][0].pop("auc")
    assert len(faults(json_values(audit.result))) == 2


def test_result_without_a_part_is_refused(audit: Any) -> None:
    del audit.result["verdict"]
    with pytest.raises(RunFolderError, match="verdict"):
        AuditResult.from_dict(audit.result)
    audit.result["verdict"] = {"gate": None, "passed": None}
    with pytest.raises(RunFolderError, match=r"verdict\.reason"):
        AuditResult.from_dict(audit.result)
