"""The trained target, where one is given."""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from pathlib import Path

from memberwise.auditing.prepare.inputs import Inputs
from memberwise.data import Dataset
from memberwise.data.rows import TableRows
from memberwise.defences.output.registry import kind_behind, output_defences
from memberwise.errors import Note, StudyError, TargetError, TrainingError
from memberwise.models.network import Network
from memberwise.signals.questions import Questions
from memberwise.study.schema import Study
from memberwise.targets.base import Target
from memberwise.targets.endpoint import Endpoint
from memberwise.targets.files import load_target
from memberwise.targets.kinds import TargetContext
from memberwise.targets.objects import object_target
from memberwise.targets.sent import Form


def target_of(
    study: Study,
    inputs: Inputs,
    network: Network | None,
    questions: Questions,
    dataset: Dataset,
    estimator: Target | None = None,
    rows: TableRows | None = None,
) -> tuple[Target | None, str | None, list[Note]]:
    """The trained target, where one is given, a hash that notices when it was trained again, and what was noticed.

    Args:
        network: the architecture that weights in a file belong to; None where the study names none.
        estimator: the target, where it is a fitted estimator.
        rows: what the target's records are, where they are rows of the table.

    Raises:
        StudyError: the target is of no kind that answers. TargetError: it does not answer about the records.
    """
    if study.target.endpoint is not None:
        if inputs.target is not None:
            raise StudyError("a target is an object or served, not both", where="target, endpoint")
        endpoint = endpoint_of(study, dataset, rows)
        return endpoint, endpoint.identity.hex(), []
    example = questions.records(questions.audited[:64])
    if estimator is not None:
        try:
            return estimator, estimator.fingerprint(example), []
        except TrainingError as error:
            raise TargetError(
                "the target cannot answer about the data's records",
                expected=error.expected,
                found=error.found,
                where="target",
                fix=error.fix,
            ) from error
    context = TargetContext(dataset, example, network, study.target.output)
    if inputs.target is not None:
        target = object_target(inputs.target, context)
        return target, target.fingerprint(example), target.notes("the given target")
    if study.target.file is None:
        return None, None, []
    path = Path(study.target.file)
    target, notes = load_target(path, context)
    known = path.read_bytes() + (study.target.output or "").encode()
    return target, hashlib.sha256(known).hexdigest(), [*notes, *target.notes(f"the target {path}")]


def endpoint_of(study: Study, dataset: Dataset, rows: TableRows | None) -> Endpoint:
    """The served model of a study; nothing is asked yet.

    Args:
        rows: what its records are, where they are rows of the table already.
    """
    if dataset.several:  # (of several labels ``check_label_sets`` has refused it)
        raise StudyError(
            "records of several inputs are not sent to a served model here",
            found=None if dataset.layout is None else dataset.layout.words(),
            where="target.endpoint",
            fix="give a function of the inputs that asks the server: memberwise.audit(target=ask, train_rows=...)",
        )
    after = None if not study.answer else partial(kind_behind, output_defences(study.answer))
    form = Form(dataset, study.target.records == "raw", rows)
    return Endpoint(study.target, form, Path(str(study.run.out)), os.environ, after)


def stored_accuracy(study: Study) -> float | None:
    """The accuracy on its training records that was stored beside the target's file, where it is about this file."""
    if study.target.file is None:
        return None
    path = Path(study.target.file)
    try:
        facts = json.loads((path.parent / "metadata.json").read_text("utf-8"))
        same = facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        return float(facts["train_accuracy"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
