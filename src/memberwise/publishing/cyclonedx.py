"""A fragment of a CycloneDX 1.7 bill of materials: the model with its performance metrics and their intervals."""

from __future__ import annotations

import uuid

from memberwise.publishing.figures import figures_of
from memberwise.report import lead, sentence
from memberwise.report.formats import number, without_folder
from memberwise.report.schema import AuditResult
from memberwise.types.parts import Plain

SPEC = "1.7"


def bill_of_materials(result: AuditResult, name: str | None = None) -> Plain:
    """The fragment as plain JSON values, the same for the same result; merge its component into a product's own.

    Args:
        name: of the component; by default what the report calls the model.
    """
    title = name or without_folder(result.target.architecture or result.target.kind or "classifier")
    identity = f"{title} {result.data.sha256} {result.seed} {result.created}"
    component = {
        "type": "machine-learning-model",
        "bom-ref": f"model-{uuid.uuid5(uuid.NAMESPACE_URL, identity)}",
        "name": title,
        "modelCard": {
            "modelParameters": {"task": "classification", **_architecture(result), **_datasets(result)},
            "quantitativeAnalysis": {"performanceMetrics": _metrics(result)},
            "considerations": {
                "technicalLimitations": sentence.limits(result),
                "ethicalConsiderations": [{"name": "membership inference", "mitigationStrategy": _mitigation(result)}],
            },
        },
        "properties": [
            {"name": f"memberwise:{key}", "value": value}
            for key, value in (
                ("outcome", sentence.outcome(result)),
                ("gate", str(result.verdict.gate or "none")),
                ("verdict", lead.verdict_sentence(result)),
                ("headline", result.headline),
                ("seed", str(result.seed)),
                ("version", result.memberwise_version),
                ("data-sha256", str(result.data.sha256 or "not stated")),
            )
        ],
    }
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, 'bom ' + identity)}",
        "version": 1,
        "components": [component],
    }


def _metrics(result: AuditResult) -> list[Plain]:
    """Values are texts, as the standard wants them; without an interval the bounds are left out."""
    metrics = []
    for figure in figures_of(result):
        estimate = figure.estimate
        at = "" if figure.fpr is None else f" at {figure.fpr:g} FPR"
        rest = f"{estimate.n_members} members, {estimate.n_nonmembers} non-members; {estimate.method}"
        row: Plain = {
            "type": f"membership inference {figure.metric}{at}",
            "value": f"{estimate.value:.6g}",
            "slice": f"{figure.attack}; {rest}",
        }
        if number(estimate.low) is not None and number(estimate.high) is not None:
            bounds = {"lowerBound": f"{estimate.low:.6g}", "upperBound": f"{estimate.high:.6g}"}
            row["confidenceInterval"] = bounds
        metrics.append(row)
    return metrics


def _architecture(result: AuditResult) -> Plain:
    return {"modelArchitecture": without_folder(result.target.architecture)} if result.target.architecture else {}


def _datasets(result: AuditResult) -> Plain:
    if result.data.source is None:
        return {}
    dataset: Plain = {"type": "dataset", "name": without_folder(result.data.source)}
    return {"datasets": [dataset]}


def _mitigation(result: AuditResult) -> str:
    names = [str(one.get("name")) for one in result.study.get("answer") or [] if isinstance(one, dict)]
    training = (result.study.get("training") or {}).get("defence")
    names += [str(training.get("name") if isinstance(training, dict) else training)] if training else []
    return ", ".join(names) or "none in the study"
