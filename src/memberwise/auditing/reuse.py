"""An audit among many: read where it is finished, else carried out or continued."""

from __future__ import annotations

import hashlib

import numpy as np

from memberwise.auditing.notes import INTERRUPTED
from memberwise.auditing.prepare import Inputs
from memberwise.auditing.prepare.model import named_model
from memberwise.auditing.resolve import ResolvedStudy, resolve
from memberwise.auditing.run import audit
from memberwise.data import load
from memberwise.defences.training.registry import find_defence
from memberwise.report.result import Result
from memberwise.signals.progress import Progress, Silent
from memberwise.store.blocks import BlockStore, block_key
from memberwise.store.files import json_values
from memberwise.study.entrypoint import code_hash
from memberwise.study.schema import Study
from memberwise.training.engines.registry import EngineSession
from memberwise.types.arrays import Array
from memberwise.types.version import __version__


def audit_or_reuse(
    study: Study,
    inputs: Inputs | None = None,
    progress: Progress | None = None,
    session: EngineSession | None = None,
) -> Result:
    """The result of a study that names its run folder (``run.out``); a finished run of the same study is read, where
    its data and the code of its model and defences are unchanged.

    Args:
        session: what this audit and others have their models trained in.

    Raises:
        KeyboardInterrupt: Ctrl-C; what is done stays, but the figures of part of the shadow models are no result.
        MemberwiseError: see ``run_audit``.
    """
    inputs = inputs or Inputs()
    resolved = resolve(study, inputs.attacks)
    blocks, key = BlockStore(resolved.folder / "signals"), run_key(resolved, inputs)
    if key is not None and blocks.finished == key and (resolved.folder / "result.json").exists():
        return Result.load(resolved.folder)
    if session is not None:
        session.begin(resolved.study.engine)
    result = audit(resolved, inputs, progress=progress or Silent())
    if INTERRUPTED in {warning["code"] for warning in result.to_dict()["warnings"]}:
        (resolved.folder / "result.json").unlink()
        raise KeyboardInterrupt
    if key is not None:
        BlockStore(resolved.folder / "signals").mark_finished(key)
    return result


def run_key(resolved: ResolvedStudy, inputs: Inputs) -> str | None:
    """What the result of a study depends on, had without preparing it: a hash over the study but for the plan, which is
    how it was done, its records, and the code of its model and defences. None where a trained target or an attack of
    the user's own is involved: nothing tells whether these are what they were.
    """
    study = resolved.study
    unknown = resolved.request.own or study.target.given or inputs.target is not None
    if unknown or resolved.of_saved_answers:
        return None
    place = study.data
    dataset = inputs.dataset or load(place.source, label=place.label, group=place.group, unit=place.unit)
    return block_key(
        version=__version__,
        study=json_values({name: part for name, part in study.to_dict().items() if name != "plan"}),
        data=dataset.sha256,
        features=_digest(dataset.x),
        rows={name: _digest(np.asarray(rows)) for name, rows in inputs.rows.items()},
        model=named_model(study, inputs, dataset).code,
        defences=_code_of_defences(resolved),
    )


def _code_of_defences(resolved: ResolvedStudy) -> list[str]:
    """Hashes of the code of output defences and of the training defence."""
    code = [code_hash(type(defence)) for defence in resolved.output_defences]
    if resolved.study.training.defence is not None:
        defence, _ = find_defence(resolved.study.training.defence)
        parts = (defence.step, defence.procedure, defence.settings, defence.answer)
        code += [code_hash(part) for part in parts if part is not None]
    return code


def _digest(values: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
