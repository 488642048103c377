"""Does a training defence keep to its contract?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memberwise.checks.declared import check_declared
from memberwise.checks.output import check_output
from memberwise.checks.records import CLASSES, FEATURES, ROWS, records
from memberwise.checks.report import Findings, place, shown
from memberwise.defences.output.base import OutputDefence
from memberwise.defences.training.base import Fit, TrainingDefence
from memberwise.errors import StudyError
from memberwise.training.job import Job, Procedure
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.types.arrays import Floats

if TYPE_CHECKING:
    from torch import nn

MODELS = 4
NEEDS = ("reference", "members", "outputs")
RETURNS = (
    "of a Step, init gives a dictionary of tensors, loss (mean loss, state), update (gradients, loss, state), "
    "after_epoch (parameters, state)"
)
BRANCHES = "torch.where in place of if on a tensor's value, no .item(); else stackable = False in the Step"


def check_defence(defence: TrainingDefence | OutputDefence, seed: int = 0) -> None:
    """Try a defence on small models and data.

    A training defence: the options, roles, study keys and output defences it names exist; models come out finite, the
    same again, the same alone as in a stack, and not those of plain training. An output defence: answers have the
    stated shape and kind, the label is kept where it says so, the same record gets the same answer whatever it is
    asked together with. An error that the defence raises is a finding too.

    Raises:
        CheckError: with everything that was found wrong.

    Examples:
        >>> import memberwise as mw
        >>> from memberwise.defences.output.registry import OUTPUT_DEFENCES
        >>> mw.check_defence(OUTPUT_DEFENCES["rounding"]())
    """
    if isinstance(defence, TrainingDefence):
        _check_training(defence, seed)
    else:
        check_output(defence, seed)


def _check_training(defence: TrainingDefence, seed: int) -> None:
    findings = Findings(f"the training defence {defence.name}")
    check_declared(defence, findings)
    _check_notes(defence, findings)
    # What a wrong name leads to while training would be told twice.
    findings.close()
    changed = _defended(defence, seed, range(MODELS), findings)
    if not np.isfinite(changed).all():
        findings.add("finite answers", "NaN or infinity")
        findings.close()
    if not np.allclose(changed, _defended(defence, seed, range(MODELS), findings), atol=1e-5):
        findings.add("the same seed trains the same models", "other models")
    alone = _defended(defence, seed, range(1, 2), findings)[0]
    # Rounding grows over training, more so in a game; another model is another matter.
    difference, usual = (float(np.abs(changed[1] - other).mean()) for other in (alone, changed[0]))
    if difference > 0.05 * usual:
        findings.add("a model does not depend on those it is stacked with", f"answers differ by {difference:.2g}")
    if (defence.step or defence.procedure) and np.allclose(
        changed, _trained(Step(), None, seed, range(MODELS)), atol=1e-4
    ):
        findings.add("other models than plain training's", "the same models")
    findings.close()


def _fit() -> Fit:
    return Fit(CLASSES, ROWS, _recipe(), shape=(FEATURES,))


def _recipe() -> Recipe:
    from memberwise.study.schema import TrainingConfig

    return Recipe.of(TrainingConfig(epochs=20, batch_size=16, learning_rate=0.3, momentum=0.5))


def _module() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, CLASSES))


def _check_notes(defence: TrainingDefence, findings: Findings) -> None:
    if defence.check is None:
        return
    with findings.part("check(options, fit, module) runs", "refuse a module by raising StudyError", last=False):
        try:
            notes: object = defence.check(defence.options(), _fit(), _module())
        except StudyError:  # this module may be refused
            return
        pairs = isinstance(notes, list) and all(isinstance(note, tuple) and len(note) == 2 for note in notes)
        if not pairs:
            findings.add("check gives a list of (code, message)", repr(notes), "return [] where there is none")


def _made(defence: TrainingDefence, findings: Findings) -> tuple[Step, Procedure | None]:
    """The step and the procedure, which are what a training defence makes them to be."""
    step: Any = Step()
    procedure: Procedure | None = None
    if defence.step:
        with findings.part("step(options, fit) runs", "step=lambda options, fit: MyStep(...)"):
            step = defence.step(defence.options(), _fit())
    if defence.procedure:
        with findings.part("procedure(options, fit) runs", "procedure=lambda options, fit: MyProcedure(...)"):
            procedure = defence.procedure(defence.options(), _fit())
    if not isinstance(step, Step):
        findings.add("step(options, fit) gives an instance of Step", shown(step), "return MyStep(...), a Step")
    elif unknown := sorted(set(step.needs) - set(NEEDS)):
        findings.add(f"the step's needs are of {', '.join(NEEDS)}", ", ".join(map(repr, unknown)))
    elif "reference" in step.needs and "reference" not in defence.roles:
        findings.add("roles name the records that its step needs", repr(defence.roles), 'roles=("reference",)')
    if procedure is not None and (isinstance(procedure, type) or not callable(getattr(procedure, "fit", None))):
        findings.add("procedure(options, fit) gives an instance with fit(job)", shown(procedure))
    findings.close()
    return step, procedure


def _defended(defence: TrainingDefence, seed: int, which: range, findings: Findings) -> Floats:
    step, procedure = _made(defence, findings)
    by = type(step if procedure is None else procedure).__name__
    with findings.part(f"{len(which)} small models train with its {by}", _training_fix):
        return _trained(step, procedure, seed, which)
    raise AssertionError("a part that fails raises")


def _training_fix(error: Exception) -> str | None:
    """What to do about an error in training: the usual mistakes have messages that few can read."""
    if isinstance(error, RuntimeError) and "data-dependent" in str(error):
        return BRANCHES
    # What fails outside the user's own code was given something else than it takes.
    return getattr(error, "fix", None) or (None if place(error) else RETURNS)


def _trained(step: Step, procedure: Procedure | None, seed: int, which: range) -> Floats:
    """``(m, n, C)`` answers of the models numbered ``which``."""
    import torch

    from memberwise.models.network import Network
    from memberwise.training.plan import Plan
    from memberwise.training.tensors import DataTensors
    from memberwise.training.trainers.stack import StackTrainer

    x, y = records(seed)
    reference = np.arange(3 * ROWS, 4 * ROWS)
    jobs = [
        Job(
            np.random.default_rng([seed, k]).permutation(3 * ROWS)[:ROWS],
            step,
            _recipe(),
            seed + 100 * k,
            reference=reference,
            procedure=procedure,
        )
        for k in which
    ]
    cpu = torch.device("cpu")
    engine = StackTrainer(Network(_module, cpu), DataTensors.of(x, y, CLASSES, cpu), Plan(MODELS))
    return np.asarray(engine.train(jobs).predict(x), np.float64)
