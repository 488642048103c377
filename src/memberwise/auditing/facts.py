"""The end of every audit: all its facts and figures become the run folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from memberwise.assess import Assessment
from memberwise.assess.notes import stronger_note
from memberwise.report.build import build_result
from memberwise.report.files import write_all
from memberwise.report.result import Result
from memberwise.store.folder import RunFolder
from memberwise.study.schema import Study


def finish(
    study: Study,
    folder: RunFolder,
    assessment: Assessment,
    begun: float,
    *,
    data: dict[str, Any],
    target: dict[str, Any],
    shadow: dict[str, Any] | None,
    notes: Sequence[tuple[str, str]],
    encoding: dict[str, Any] | None = None,
) -> Result:
    """Put ``result.json`` together, write the run folder and read it back."""
    known = [*notes, *assessment.notes]
    verdict, family = assessment.gate.judge(known)
    result = build_result(
        study,
        seconds=time.perf_counter() - begun,
        data=data,
        target=target,
        shadow=shadow,
        headline=assessment.headline,
        attacks=assessment.attacks,
        epsilon=assessment.epsilon,
        beyond=assessment.beyond,
        skipped=assessment.skipped,
        records=assessment.records,
        family=family,
        verdict=verdict.to_dict(),
        notes=[*known, *stronger_note(family, assessment.headline)],
        encoding=encoding,
    )
    write_all(folder.path, result, assessment.scores, assessment.curves)
    return Result.load(folder.path)
