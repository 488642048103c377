"""An audit among many: read where it is finished, else carried out or continued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memberwise.audit_flow import INTERRUPTED, Silent, run_audit
from memberwise.defences.training import defended
from memberwise.prepare import Given
from memberwise.report.files import json_values
from memberwise.report.result import Result
from memberwise.signals.gather import Progress
from memberwise.study import Study


def audited(study: Study, given: Given | None = None, progress: Progress | None = None) -> Result:
    """The result of a study that names its run folder (``run.out``); a finished run of the same study is read.

    Raises:
        KeyboardInterrupt: Ctrl-C; what is done stays, but the figures of part of the shadow models are no result.
        MemberwiseError: see ``run_audit``.
    """
    out = Path(str(study.run.out))
    if (out / "result.json").exists():
        done = Result.load(out)
        if _asked(done.to_dict()["study"]) == _asked(defended(study).to_dict()):
            return done
    result = run_audit(study, given, progress=progress or Silent())
    if INTERRUPTED in {warning["code"] for warning in result.to_dict()["warnings"]}:
        (out / "result.json").unlink()
        raise KeyboardInterrupt
    return result


def _asked(study: dict[str, Any]) -> Any:
    """What a study asks for; the plan is how it was done."""
    return json_values({key: value for key, value in study.items() if key != "plan"})
