"""Cards and bills of materials, read by the libraries of those who define them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml

from memberwise.publishing.cyclonedx import bill_of_materials
from memberwise.publishing.figures import figures_of
from memberwise.publishing.hugging_face import card_section, eval_results
from memberwise.report.result import Result
from memberwise.report.schema import AuditResult
from memberwise.store.files import to_json


def _problem(bill: Any) -> Any:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_7).validate_str(to_json(bill))


def test_bill_is_valid_and_holds_every_figure(published: Result) -> None:
    bill = bill_of_materials(published.parts)
    assert _problem(bill) is None
    metrics = bill["components"][0]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    figures = figures_of(published.parts)
    assert len(metrics) == len(figures) > 5
    for metric, figure in zip(metrics, figures, strict=True):
        assert float(metric["value"]) == pytest.approx(figure.estimate.value, rel=1e-5)
        if figure.estimate.low is not None:
            assert float(metric["confidenceInterval"]["lowerBound"]) == pytest.approx(figure.estimate.low, rel=1e-5)
    broken = copy.deepcopy(bill)
    broken["components"][0]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]["value"] = 0.5
    assert _problem(broken) is not None, "the validator can fail"
    assert bill_of_materials(published.parts) == bill


def test_card_reads_back_as_the_hubs_library_reads_it(published: Result) -> None:
    hub = pytest.importorskip("huggingface_hub")
    text = card_section(published.parts, "my: model --- #1")
    head = yaml.safe_load(text.split("---\n")[1])
    assert head == json.loads(to_json(eval_results(published.parts, "my: model --- #1")))
    card = hub.ModelCard(text, ignore_metadata_errors=False)
    assert card.data.model_name == "my: model --- #1"
    found = {(one.task_name, one.metric_type): one for one in card.data.eval_results}
    for figure in figures_of(published.parts):
        kind = figure.metric if figure.fpr is None else f"tpr_at_{figure.fpr:g}_fpr"
        one = found[f"Membership inference by {figure.attack}", kind]
        assert (one.metric_value, one.metric_args["low"]) == (figure.estimate.value, figure.estimate.low)
    assert "## Privacy: membership inference" in card.text


def test_what_is_published_names_no_folder_of_the_machine(published: Result) -> None:
    values = published.to_dict()
    values["data"]["source"] = "/home/anna/ward 7/patients.csv"
    values["target"]["architecture"] = "/home/anna/model.py:make_model"
    result = AuditResult.from_dict(values)
    for text in (to_json(bill_of_materials(result)), card_section(result), to_json(eval_results(result))):
        assert "anna" not in text
        assert "patients.csv" in text or "components" in text
        assert "model.py:make" in text.replace("\\", "")
