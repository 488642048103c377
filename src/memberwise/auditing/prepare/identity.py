"""What the blocks of a run depend on."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from memberwise.auditing.prepare.representation import Representations
from memberwise.auditing.resolve import ResolvedStudy
from memberwise.data import Dataset, Roles
from memberwise.models.build import Model
from memberwise.study.entrypoint import code_hash
from memberwise.training.plan import Plan
from memberwise.types.arrays import Ints
from memberwise.types.version import __version__


def identity_of(
    resolved: ResolvedStudy,
    dataset: Dataset,
    representations: Representations,
    roles: Roles,
    model: Model,
    plan: Plan,
    device: torch.device,
) -> dict[str, object]:
    """Everything on which the arrays of a block depend beside its jobs; part of its key."""

    def digest(rows: Ints) -> str:
        return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()

    study = resolved.study
    more = [name for name in ("validation", "auxiliary") if len(getattr(roles, name))]
    return {
        "version": __version__,
        "data": dataset.sha256,
        "features": hashlib.sha256(np.ascontiguousarray(dataset.x).tobytes()).hexdigest(),
        "inputs": [
            [
                (side.how, () if side.rows is None else side.rows.names)
                for side in (representations.target, representations.models)
            ],
            [repr(value) for value in dataset.class_labels.values],
        ],
        "roles": {
            name: digest(getattr(roles, name)) for name in ("audited", "population", "test", "background", *more)
        },
        "model": [model.name, model.kind, model.code, study.model.model_dump(mode="json")],
        "plan": vars(plan),
        "queries": study.queries,
        "label": study.attacks.label,
        "answer": [
            [answer.model_dump(mode="json"), code_hash(type(made))]
            for answer, made in zip(study.answer, resolved.output_defences, strict=True)
        ],
        "seed": study.run.seed,
        "device": device.type,
    }
