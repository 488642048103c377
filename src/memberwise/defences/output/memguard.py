"""MemGuard: answers about which a classifier of members is unsure (Jia et al. 2019, arXiv:1909.10594)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from scipy.special import softmax

from memberwise.defences.output.base import as_logits, as_probabilities, refuse_labels, with_label
from memberwise.defences.output.keyed import Random
from memberwise.defences.output.unsure import DenseWeights, log_odds, train_classifiers, unsure_logits
from memberwise.errors import StudyError
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array, Arrays, Floats

if TYPE_CHECKING:
    from memberwise.defences.output.base import Members, Rngs
    from memberwise.targets.base import Records, Target

# Each classifier learns from so many members and as many reference records at most.
SAMPLE = 5_000


class MemGuard(Random):
    """Noise, found by gradient, that leaves a classifier of members at one half; labels stay.

    Two promises: the label is kept, and the expected sum of absolute changes of an answer is at most ``budget``. Gap,
    label-only and metric attacks lose little. Each model's classifier learns its members from the reference records.

    Args:
        budget: from 0 (changes nothing) to 2 (always the noise found); larger hides more.
        epochs: of the classifier's training.
        released: the release's evaluation gives the noisy answer whenever one was found, whatever the budget.
    """

    grid = ({"budget": 0.1}, {"budget": 0.5}, {"budget": 1.0})
    roles = ("reference",)
    # A thousand answers take a second, and labels are those of the model: who sees labels alone is answered without it.
    dear: ClassVar[bool] = True

    budget: Annotated[float, Field(ge=0)] = 1.0
    epochs: Annotated[int, Field(ge=1)] = 400
    released: bool = False

    def gives(self, kind: Kind) -> Kind:
        refuse_labels(self, kind)
        return "probabilities"

    def fit(self, target: Target, members: Members, reference: Records | None, rngs: Rngs) -> Sequence[object] | None:
        if reference is None:
            raise StudyError(
                "memguard needs records that no model was trained on", where="data.reference", fix="--reference N|FILE"
            )
        inside = []
        for i, rng in enumerate(rngs):
            records = members(i)
            records = records[np.sort(rng.permutation(len(records))[:SAMPLE])]
            inside.append(_sorted(target.one(i).predict(records)[0], target.kind))
        outside = [_sorted(answers, target.kind) for answers in target.predict(reference[:SAMPLE])]
        return list(zip(train_classifiers(inside, outside, self.epochs, rngs), rngs, strict=True))

    def pack(self, state: Any) -> Arrays:
        layers = dict(enumerate(state[0]))
        return {f"{name}{i}": part for i, layer in layers.items() for name, part in zip("wb", layer, strict=True)}

    def unpack(self, arrays: Mapping[str, Array], rng: np.random.Generator) -> object:
        return [(arrays[f"w{i}"], arrays[f"b{i}"]) for i in range(len(arrays) // 2)], rng

    def answer(self, target: Target, x: Records, states: Sequence[Any] | None, keys: Sequence[bytes]) -> Array:
        if states is None:
            raise ValueError("MemGuard needs what fit gave")
        logits = as_logits(target.predict(x), target.kind)
        if self.budget == 0 and not self.released:
            return np.asarray(softmax(logits, axis=-1))
        sources = self.sources(target, x, [rng for _, rng in states], keys)
        coins = [source.uniform(1)[:, 0] for source in sources]
        return np.stack([self._guarded(*one) for one in zip(logits, [c for c, _ in states], coins, strict=True)])

    def _guarded(self, logits: Floats, classifier: DenseWeights, coins: Floats) -> Floats:
        """Phase II: one model's ``(n, C)`` answers, noisy with the largest probability that the budget allows."""
        order = np.argsort(-logits, axis=-1, kind="stable")[:, ::-1]
        start = np.take_along_axis(logits, order, -1)
        noisy_logits = unsure_logits(classifier, start)
        plain, noisy = softmax(start, axis=-1), softmax(noisy_logits, axis=-1)
        noisy = with_label(noisy, np.full(len(noisy), logits.shape[-1] - 1))
        if self.released:
            share = np.ones(len(noisy))
        else:
            changed = np.abs(noisy - plain).sum(-1)
            helps = undecided(classifier, noisy) < undecided(classifier, plain)
            share = np.where(helps, np.minimum(1, self.budget / np.maximum(changed, 1e-30)), 0)
        answers = np.where((coins < share)[:, None], noisy, plain)
        out = np.empty_like(answers)
        np.put_along_axis(out, order, answers, -1)
        return out


def undecided(classifier: DenseWeights, answers: Floats) -> Floats:
    """``(n,)`` distance of the classifier's probability from one half, for ``(n, C)`` answers sorted upwards."""
    odds = np.asarray(log_odds(classifier, answers.astype(np.float32)), np.float64)
    return np.asarray(np.abs(np.tanh(odds / 2)) / 2)


def _sorted(answers: Array, kind: Kind) -> Floats:
    return np.sort(as_probabilities(answers, kind), axis=-1)
