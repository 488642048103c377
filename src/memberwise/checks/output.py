"""Does an output defence keep to its contract?"""

from __future__ import annotations

import inspect
from collections.abc import Sized
from functools import partial
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel

from memberwise.checks.declared import check_roles
from memberwise.checks.records import CLASSES, FEATURES, ROWS, records
from memberwise.checks.report import Findings, shown
from memberwise.defences.output.base import OutputDefence
from memberwise.defences.output.bounded import BoundedDefence
from memberwise.defences.output.registry import OUTPUT_DEFENCES
from memberwise.defences.output.served import DefendedTarget
from memberwise.defences.training.registry import TRAINING_DEFENCES
from memberwise.errors import StudyError
from memberwise.targets.base import Kind, Records, Target
from memberwise.targets.models import FunctionModels
from memberwise.types.arrays import Array, Floats, Floats32

KEY = b"a secret of the check"
KINDS: tuple[Kind, ...] = get_args(Kind)
HAS = ("keeps_label", "queries", "gives", "fit", "answer")
ASKED, FEWER = 40, 7
# Rounding may leave a probability this far below 0.
ROUNDING = 1e-9


def check_output(defence: OutputDefence, seed: int) -> None:
    """What ``check_defence`` does with an output defence, and with what is no defence at all."""
    _check_type(defence)
    findings = Findings(f"the output defence {type(defence).__name__}")
    _check_stated(defence, findings)
    x, _ = records(seed)
    models = _Worlds(_linear(seed)) if isinstance(defence, BoundedDefence) else _linear(seed)

    def members(i: int) -> Floats32:
        return x[i * ROWS : (i + 1) * ROWS].copy()

    with findings.part("fit(target, members, reference, rngs) runs"):
        served = DefendedTarget.fitted(models, [defence], members, x[3 * ROWS :].copy(), KEY, [seed, seed + 1])
    states: object = served.states[0]
    if states is not None and not (isinstance(states, Sized) and len(states) == len(models)):
        findings.add("fit gives None, or one state a model", shown(states))
        findings.close()
    queries = x[:ASKED]
    answers = _asked(served, queries, findings)
    _check_values(answers, served.kind, findings)
    labels = answers if served.kind == "labels" else answers.argmax(-1)
    if defence.keeps_label and not np.array_equal(labels, models.predict(queries).argmax(-1)):
        findings.add("the label is kept, as it says", "another largest class")
    if not np.allclose(answers, _asked(served, queries, findings)):
        findings.add("the same record gets the same answer", "another answer")
    if not np.allclose(answers[:, :FEWER], _asked(served, queries[:FEWER], findings)):
        findings.add("an answer does not depend on what else is asked", "another answer among fewer records")
    findings.close()


def _check_type(defence: object) -> None:
    """Refuse what has not the parts of an output defence, and say what was meant perhaps."""
    lacking = [name for name in HAS if inspect.getattr_static(defence, name, None) is None]
    if not lacking and not isinstance(defence, type):
        return
    findings = Findings(f"what was given, {shown(defence)},")
    fix = "give a TrainingDefence, or an instance of an OutputDefence"
    if isinstance(defence, type):
        fix = f"give an instance: check_defence({defence.__name__}(...))"
    elif isinstance(defence, str) and defence in TRAINING_DEFENCES:
        fix = f'give the defence itself: memberwise.defences.training.TRAINING_DEFENCES["{defence}"]'
    elif isinstance(defence, str) and defence in OUTPUT_DEFENCES:
        fix = f'give the defence itself: memberwise.defences.output.OUTPUT_DEFENCES["{defence}"]()'
    description = shown(defence) if len(lacking) in (0, len(HAS)) else f"{shown(defence)} without {', '.join(lacking)}"
    findings.add("a TrainingDefence, or an output defence", description, fix)
    findings.close()


def _check_stated(defence: Any, findings: Findings) -> None:
    """Kinds, roles, grid and counts which the defence states."""
    for kind in KINDS:
        with findings.part(f"gives({kind!r}) runs", "raise StudyError to refuse a kind"):
            try:
                answer: object = defence.gives(kind)
            except StudyError:
                if kind == "logits":  # what the models themselves answer
                    raise
                continue
            if answer not in KINDS:
                findings.add(f"gives({kind!r}) is one of {', '.join(KINDS)}", shown(answer))
                break
    with findings.part("keeps_label and queries are read", last=False):
        keeps, queries = defence.keeps_label, defence.queries
        if not isinstance(keeps, bool):
            findings.add("keeps_label is True or False", shown(keeps), "write it as a property")
        if isinstance(queries, bool) or not isinstance(queries, int) or queries < 1:
            findings.add("queries is a count, at least 1", shown(queries), "write it as a property")
    check_roles(getattr(defence, "roles", ()), findings)
    for point in getattr(defence, "grid", ()) if isinstance(defence, BaseModel) else ():
        takes = ", ".join(type(defence).model_fields) or "none"
        with findings.part(f"the grid's {point} is read", f"name parameters of the defence ({takes})", last=False):
            type(defence).model_validate(point)
    findings.close()


def _asked(served: DefendedTarget, x: Floats32, findings: Findings) -> Array:
    """Answers of the stated shape, to records that are still what they were."""
    queries = x.copy()
    with findings.part("answer(target, x, states, keys) runs"):
        answers: object = served.predict(queries)
    if not np.array_equal(queries, x):
        findings.add("the records are left as they were", "x changed in place", "work on x.copy()")
    shape = (len(served), len(x)) if served.kind == "labels" else (len(served), len(x), CLASSES)
    promise = f"answers of shape {shape} of kind {served.kind}"
    if not isinstance(answers, np.ndarray):
        findings.add(promise, shown(answers), "return a numpy array")
    elif answers.dtype.kind not in "fiu":
        findings.add(promise, f"an array of {answers.dtype}", "return numbers")
    elif answers.shape != shape:
        findings.add(promise, str(answers.shape))
    else:
        return answers
    findings.close()
    raise AssertionError("findings were added")


def _check_values(answers: Array, kind: Kind, findings: Findings) -> None:
    if not np.isfinite(answers).all():
        findings.add("finite answers", "NaN or infinity")
        return
    if kind == "labels" and not np.isin(answers, np.arange(CLASSES)).all():
        findings.add(f"labels are class numbers from 0 to {CLASSES - 1}", f"{answers.min():g} to {answers.max():g}")
    if kind == "probabilities" and answers.min() < -ROUNDING:
        findings.add("probabilities of at least 0", f"{answers.min():.3g}")
    if kind == "probabilities" and not np.allclose(answers.sum(-1), 1, atol=1e-6):
        findings.add(
            "probabilities that sum to 1", f"sums from {answers.sum(-1).min():.3g} to {answers.sum(-1).max():.3g}"
        )


class _Worlds(Target):
    """Each model as an ensemble of itself and of the other ones."""

    def __init__(self, models: Target) -> None:
        self.models, self.kind = models, models.kind

    def __len__(self) -> int:
        return len(self.models)

    def predict(self, x: Records) -> Array:
        return self.models.predict(x)

    def worlds(self, x: Records) -> Array:
        answers = self.models.predict(x)
        return np.stack([np.roll(answers, i, 0) for i in range(len(self))])


def _linear(seed: int) -> FunctionModels:
    """Two linear models that answer logits, the same for a record whatever else is asked."""
    weights = np.random.default_rng(seed).normal(size=(2, FEATURES, CLASSES)) * 3

    def predict(weight: Floats, x: Floats32) -> Floats:
        return np.asarray((x[:, :, None] * weight).sum(1))

    return FunctionModels([partial(predict, weight) for weight in weights], "logits")
