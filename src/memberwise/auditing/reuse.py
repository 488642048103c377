"""An audit among many: read where it is finished, else carried out or continued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memberwise.attacks.request import AttackRequest
from memberwise.auditing.prepare import Inputs, prepare
from memberwise.auditing.run import INTERRUPTED, run_audit
from memberwise.auditing.target import TARGET_BLOCK, target_key
from memberwise.defences.training.registry import defended
from memberwise.report.result import Result
from memberwise.signals.progress import Progress, Silent
from memberwise.store.files import json_values
from memberwise.store.folder import RunFolder
from memberwise.study.schema import Study


def audited(study: Study, inputs: Inputs | None = None, progress: Progress | None = None) -> Result:
    """The result of a study that names its run folder (``run.out``); a finished run of the same study is read, where
    its data and the code of its model and defence are unchanged.

    Raises:
        KeyboardInterrupt: Ctrl-C; what is done stays, but the figures of part of the shadow models are no result.
        MemberwiseError: see ``run_audit``.
    """
    out = Path(str(study.run.out))
    if (out / "result.json").exists():
        done = Result.load(out)
        same = _asked(done.to_dict()["study"]) == _asked(defended(study).to_dict())
        # The code of the user's own attacks may have changed: they run again, on the models that are kept.
        own = same and AttackRequest.of(defended(study), (inputs or Inputs()).attacks).own
        if same and not own and _is_current(study, inputs or Inputs(), out):
            return done
    result = run_audit(study, inputs, progress=progress or Silent())
    if INTERRUPTED in {warning["code"] for warning in result.to_dict()["warnings"]}:
        (out / "result.json").unlink()
        raise KeyboardInterrupt
    return result


def _is_current(study: Study, inputs: Inputs, out: Path) -> bool:
    """Data, code of model and defence, and all else its models depend on are still what they were."""
    folder = RunFolder(out, defended(study))
    stored = folder.blocks.manifest.get(TARGET_BLOCK)
    return stored is not None and stored["key"] == target_key(prepare(study, inputs, folder.plan))


def _asked(study: dict[str, Any]) -> Any:
    """What a study asks for; the plan is how it was done."""
    return json_values({key: value for key, value in study.items() if key != "plan"})
