"""Does a training defence or an output defence keep to its contract?"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from memberwise.checks.report import Findings
from memberwise.defences.training.base import Fit, TrainingDefence
from memberwise.training.answering import Answer, FunctionModels, Served

ROWS, FEATURES, CLASSES, MODELS = 96, 8, 3, 4
KEY = b"a secret of the check"


def check_defence(defence: TrainingDefence | Answer, seed: int = 0) -> None:
    """Try a defence on small models and data.

    A training defence: models come out finite, the same again, the same alone as in a stack, and not those of plain
    training. An output defence: answers have the stated shape and kind, the label is kept where it says so, the same
    record gets the same answer whatever it is asked together with.

    Raises:
        CheckError: with everything that was found wrong.
    """
    if isinstance(defence, TrainingDefence):
        _check_training(defence, seed)
    else:
        _check_output(defence, seed)


def _check_training(defence: TrainingDefence, seed: int) -> None:
    findings = Findings(f"the training defence {defence.name}")
    changed = _trained(defence, seed, range(MODELS))
    if not np.isfinite(changed).all():
        findings.add("finite answers", "NaN or infinity")
        findings.close()
    if not np.allclose(changed, _trained(defence, seed, range(MODELS)), atol=1e-5):
        findings.add("the same seed trains the same models", "other models")
    alone = _trained(defence, seed, range(1, 2))[0]
    # Rounding grows over training, more so in a game; another model is another matter.
    difference, usual = (float(np.abs(changed[1] - other).mean()) for other in (alone, changed[0]))
    if difference > 0.05 * usual:
        findings.add("a model does not depend on those it is stacked with", f"answers differ by {difference:.2g}")
    if (defence.step or defence.procedure) and np.allclose(changed, _trained(None, seed, range(MODELS)), atol=1e-4):
        findings.add("other models than plain training's", "the same models")
    findings.close()


def _trained(defence: TrainingDefence | None, seed: int, which: range) -> NDArray[np.float64]:
    """``(m, n, C)`` answers of the models numbered ``which``, trained with the defence's own defaults."""
    import torch
    from torch import nn

    from memberwise.study import TrainingStudy
    from memberwise.training.engines import StackEngine
    from memberwise.training.job import Job
    from memberwise.training.network import Network
    from memberwise.training.plan import Plan
    from memberwise.training.recipe import Recipe
    from memberwise.training.step import Step
    from memberwise.training.tensors import DataTensors

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, CLASSES))

    x, y = _records(seed)
    recipe = Recipe.of(TrainingStudy(epochs=20, batch_size=16, learning_rate=0.3, momentum=0.5))
    options = None if defence is None else defence.options()
    fit = Fit(CLASSES, ROWS, recipe, shape=(FEATURES,))
    step = defence.step(options, fit) if defence and defence.step else Step()
    procedure = defence.procedure(options, fit) if defence and defence.procedure else None
    reference = np.arange(3 * ROWS, 4 * ROWS)
    jobs = [
        Job(
            np.random.default_rng([seed, k]).permutation(3 * ROWS)[:ROWS],
            step,
            recipe,
            seed + 100 * k,
            reference=reference,
            procedure=procedure,
        )
        for k in which
    ]
    cpu = torch.device("cpu")
    engine = StackEngine(Network(make, cpu), DataTensors.of(x, y, CLASSES, cpu), Plan(MODELS))
    return np.asarray(engine.train(jobs).ask(x), np.float64)


def _records(seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, 4 * ROWS)
    centres = rng.random((CLASSES, FEATURES))
    return np.clip(0.5 * centres[y] + 0.5 * rng.random((4 * ROWS, FEATURES)), 0, 1).astype(np.float32), y


def _linear(seed: int) -> FunctionModels:
    """Two linear models that answer logits, the same for a record whatever else is asked."""
    weights = np.random.default_rng(seed).normal(size=(2, FEATURES, CLASSES)) * 3

    def predict(own: NDArray[np.float64], x: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray((x[:, :, None] * own).sum(1))

    return FunctionModels([partial(predict, own) for own in weights], "logits")


def _check_output(defence: Answer, seed: int) -> None:
    findings = Findings(f"the output defence {type(defence).__name__}")
    x, _ = _records(seed)
    models = _linear(seed)
    served = Served.fitted(
        models, [defence], lambda i: x[i * ROWS : (i + 1) * ROWS], x[3 * ROWS :], KEY, [seed, seed + 1]
    )
    asked = x[:40]
    given, kind = served.ask(asked), served.kind
    shape = (2, 40) if kind == "labels" else (2, 40, CLASSES)
    if given.shape != shape:
        findings.add(f"answers of shape {shape} of kind {kind}", str(given.shape))
        findings.close()
    if not np.isfinite(given).all():
        findings.add("finite answers", "NaN or infinity")
    if kind == "probabilities" and not np.allclose(given.sum(-1), 1, atol=1e-6):
        findings.add("probabilities that sum to 1", f"sums from {given.sum(-1).min():.3g} to {given.sum(-1).max():.3g}")
    labels = given if kind == "labels" else given.argmax(-1)
    if defence.keeps_label and not np.array_equal(labels, models.ask(asked).argmax(-1)):
        findings.add("the label is kept, as it says", "another largest class")
    if not np.allclose(given, served.ask(asked)):
        findings.add("the same record gets the same answer", "another answer")
    if not np.allclose(given[:, :7], served.ask(asked[:7])):
        findings.add("an answer does not depend on what else is asked", "another answer among fewer records")
    findings.close()
