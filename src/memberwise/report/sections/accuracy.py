"""How accurate the models are."""

from __future__ import annotations

from collections.abc import Mapping

from memberwise.report.sections.base import Section, Source


class Accuracy(Section):
    """The target and its shadow models, on training records and on test records."""

    id, link = "accuracy", "Accuracy"

    def context(self, source: Source) -> Mapping[str, object]:
        target = source.result.target
        return {"losses": target.train_loss is not None, "auroc": target.test_auroc is not None}
