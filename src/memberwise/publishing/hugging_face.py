"""A Hugging Face model card's part: ``model-index`` with the figures as evaluation results, and the section of text."""

from __future__ import annotations

import json

from memberwise.publishing.figures import figures_of
from memberwise.report.formats import without_folder
from memberwise.report.modelcard import model_card
from memberwise.report.schema import AuditResult
from memberwise.store.files import json_values
from memberwise.types.parts import Plain

TASK = "membership-inference"


def eval_results(result: AuditResult, model: str | None = None) -> Plain:
    """The card's metadata (``model-index``) as plain values: a result for the headline and one for each other attack.

    Args:
        model: its name on the hub; by default what the report calls it.
    """
    source = without_folder(result.data.source or "")
    by_attack: dict[str, list[Plain]] = {}
    for figure in figures_of(result):
        estimate = figure.estimate
        at = "" if figure.fpr is None else f" at {figure.fpr:g} FPR"
        metric: Plain = {
            "type": figure.metric if figure.fpr is None else f"tpr_at_{figure.fpr:g}_fpr",
            "name": f"{figure.metric.replace('_', ' ')}{at}",
            "value": estimate.value,
            "args": {
                "low": estimate.low,
                "high": estimate.high,
                "n_members": estimate.n_members,
                "n_nonmembers": estimate.n_nonmembers,
                "method": estimate.method,
                "seed": result.seed,
                "version": f"memberwise {result.memberwise_version}",
            },
        }
        by_attack.setdefault(figure.attack, []).append(metric)
    return {
        "model-index": [
            {
                "name": model or without_folder(result.target.architecture or result.target.kind or "classifier"),
                "results": [
                    {
                        "task": {"type": TASK, "name": f"Membership inference by {attack}"},
                        "dataset": {"type": source or "unnamed", "name": source or "unnamed data"},
                        "metrics": metrics,
                    }
                    for attack, metrics in by_attack.items()
                ],
            }
        ]
    }


def card_section(result: AuditResult, model: str | None = None) -> str:
    """A whole card's text: the metadata as YAML between its lines of dashes, then the section on privacy."""
    # JSON is YAML: nothing has to be escaped twice, and no library is needed.
    index = json.dumps(json_values(eval_results(result, model))["model-index"], indent=2)
    return f"---\nmodel-index: {index}\n---\n\n{model_card(result)}"
