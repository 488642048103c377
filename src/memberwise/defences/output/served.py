"""Models behind output defences."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from memberwise.defences.output.base import Members, OutputDefence
from memberwise.targets.base import Records, Target
from memberwise.types.arrays import Array


class DefendedTarget(Target):
    """Models behind output defences, applied in order."""

    def __init__(
        self,
        models: Target,
        defences: Sequence[OutputDefence],
        states: Sequence[Sequence[object] | None],
        keys: Sequence[bytes],
    ) -> None:
        self.models, self.defences, self.states, self.keys = models, defences, states, keys
        kind = models.kind
        for defence in defences:
            kind = defence.gives(kind)
        self.kind = kind

    @classmethod
    def fitted(
        cls,
        models: Target,
        defences: Sequence[OutputDefence],
        members: Members,
        reference: Records | None,
        key: bytes,
        seeds: Sequence[int],
    ) -> DefendedTarget:
        """The models behind defences that learn from each one's own members; see ``OutputDefence.fit``.

        Args:
            reference: the defender's extra records, ``(k, ...)``.
            key: the study's secret; each model gets its own, made from it and the model's seed.
        """
        keys = [hashlib.blake2b(str(seed).encode(), digest_size=32, key=key[:64]).digest() for seed in seeds]
        served = cls(models, (), (), keys)
        for number, defence in enumerate(defences):
            rngs = [np.random.default_rng([number, *np.frombuffer(k, np.uint32)]) for k in keys]
            states = defence.fit(served, members, reference, rngs)
            served = cls(models, defences[: number + 1], [*served.states, states], keys)
        return served

    def __len__(self) -> int:
        return len(self.models)

    def predict(self, x: Records) -> Array:
        if not self.defences:
            return self.models.predict(x)
        return self.defences[-1].answer(self.inner, x, self.states[-1], self.keys)

    def worlds(self, x: Records) -> Array | None:
        """The ensemble's own answers, ``(m, W, n, C)``; None behind any defence, which is one of a single answer."""
        return None if self.defences else self.models.worlds(x)

    @property
    def inner(self) -> DefendedTarget:
        """The models behind all defences but the last."""
        return DefendedTarget(self.models, self.defences[:-1], self.states[:-1], self.keys)

    @property
    def users_code(self) -> str | None:
        user_classes = [
            type(defence) for defence in self.defences if not type(defence).__module__.startswith("memberwise.")
        ]
        return f"the output defence {user_classes[-1].__name__}" if user_classes else None

    def one(self, i: int) -> DefendedTarget:
        states = [None if state is None else state[i : i + 1] for state in self.states]
        return DefendedTarget(self.models.one(i), self.defences, states, self.keys[i : i + 1])

    def for_labels(self) -> Target:
        """Without last defences that cost much and keep the label."""
        target = self
        while target.defences and "dear" in vars(type(target.defences[-1])):
            target = target.inner
        return target if target.defences else target.models.for_labels()
