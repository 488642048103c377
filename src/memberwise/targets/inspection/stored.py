"""Training records, and answers about them, that lie in a fitted estimator."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memberwise.targets.inspection.findings import Finding

# Where scikit-learn's estimators keep training records: attribute, what it is, what to change.
STORED = {
    "support_vectors_": (
        "support vectors, which are training records",
        "a model that keeps none (LinearSVC, logistic regression), or of approximated kernels "
        "(Nystroem keeps records too: RBFSampler)",
    ),
    "_fit_X": (
        "training records, among which neighbours are looked for",
        "a model that keeps none; no defence of its answers changes what the file holds",
    ),
    "X_train_": (
        "training records, which a Gaussian process computes with",
        "a model that keeps none, such as logistic regression",
    ),
    "X_fit_": ("training records, which a kernel is computed with", "a model that keeps none"),
    "X_": ("training records, through which labels spread", "a model that keeps none"),
    "components_": ("training records as landmarks of the kernel", "RBFSampler, which draws them at random"),
}
# Of these classes alone: elsewhere the attribute is something else.
ONLY = {"components_": ("Nystroem",), "X_": ("LabelSpreading", "LabelPropagation"), "_fit_X": None}
# Answers about training records, one a record.
ANSWERS = {
    "oob_decision_function_": "the out-of-bag answer about every training record",
    "oob_prediction_": "the out-of-bag answer about every training record",
    "transduction_": "the label that was found for every training record",
    "label_distributions_": "the label distribution of every training record",
}


def records_in(name: str, part: object) -> Iterator[Finding]:
    """Records that lie in one estimator."""
    for attribute, (words, fix) in STORED.items():
        only = ONLY.get(attribute)
        if only is not None and type(part).__name__ not in only:
            continue
        count = _rows(_attribute(part, attribute))
        if count:
            yield Finding(code="stored-records", part=name, count=count, message=f"it holds {count:,} {words}", fix=fix)


def answers_in(name: str, part: object) -> Iterator[Finding]:
    """Answers about training records that lie in one estimator."""
    for attribute, words in ANSWERS.items():
        count = _rows(_attribute(part, attribute))
        if count:
            yield Finding(
                code="stored-answers",
                part=name,
                count=count,
                message=f"{attribute} holds {words} ({count:,})",
                fix=f"del model.{attribute} before it is saved"
                if attribute.startswith("oob")
                else "a model that does not learn from the records which it is asked about",
            )


def _attribute(part: object, name: str) -> object:
    try:
        return vars(part).get(name)
    except TypeError:
        return None


def _rows(values: object) -> int:
    """How many rows there are; 0 where there are none."""
    if isinstance(values, (list, tuple)):
        values = np.asarray(values)
    shape = getattr(values, "shape", None) or (0,)
    return int(shape[0])
