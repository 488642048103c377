"""Ask the target for shadow data: records climbed towards its answers, kept on disk with what they cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import softmax

from memberwise.data.synthesis import Climb, Synthetic, synthesise
from memberwise.errors import StudyError
from memberwise.signals.ask import serve
from memberwise.signals.questions import Questions
from memberwise.store.blocks import BlockStore, block_key
from memberwise.study.schema import SynthesisConfig
from memberwise.targets.base import Target
from memberwise.training.job import Job
from memberwise.types.arrays import Floats, Floats32

BLOCK = "synthetic"


def synthetic_records(
    target: Callable[[], Target],
    job: Job,
    questions: Questions,
    study: SynthesisConfig,
    count: int,
    store: BlockStore,
    identity: dict[str, object],
    rng: np.random.Generator,
) -> Synthetic:
    """``count`` records, as many of each class, made by asking the target (behind its output defences).

    The attacker knows each feature's range and nothing else of the data. What was made is read again where it is.

    Args:
        target: gives the target; called only where records have to be made.

    Raises:
        StudyError: the target answers labels alone, or is never sure of any class.
    """
    key = block_key(count=count, synthesis=study.model_dump(), **identity)
    arrays, _ = store.load(BLOCK, key)
    if arrays is None:
        made = _made(target(), job, questions, study, count, rng)
        arrays = {"x": made.x, "y": made.y, "queries": np.array([made.queries]), "failures": made.failures}
        store.save(BLOCK, [key], [-1], arrays)
    if len(arrays["y"]) < 4:
        raise StudyError(
            "the target was never sure enough of any made-up record",
            expected=f"a probability above {study.conf_min:g} for some class",
            found=f"{len(arrays['y'])} records after {int(arrays['queries'][0]):,} queries",
            where="shadow.synthesis",
            fix="a smaller shadow.synthesis.conf_min, or more iter_max; images are beyond hill climbing",
        )
    return Synthetic(arrays["x"], arrays["y"], int(arrays["queries"][0]), arrays["failures"])


def _made(
    target: Target, job: Job, questions: Questions, study: SynthesisConfig, count: int, rng: np.random.Generator
) -> Synthetic:
    served = serve(target, [job], questions)
    if served.kind == "labels":
        raise StudyError("synthesis reads probabilities, and the target answers labels", where="shadow.data")
    shape = questions.x.shape[1:]

    def ask(flat: Floats32) -> Floats:
        answers = np.asarray(served.predict(flat.reshape(len(flat), *shape))[0], np.float64)
        return np.asarray(softmax(answers, axis=-1)) if served.kind == "logits" else answers

    features = questions.records(np.arange(len(questions.x))).reshape(len(questions.x), -1)
    low, high = features.min(0), features.max(0)
    binary = ((features == low) | (features == high)).all(0)
    each = np.full(questions.classes, count // questions.classes) + (
        np.arange(questions.classes) < count % questions.classes
    )
    return synthesise(ask, each, low, high, binary, Climb(**study.model_dump()), rng)
