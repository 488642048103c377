"""How sure models are of inputs that mean nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from memberwise.signals.collectors.base import Features, random_numbers
from memberwise.signals.questions import Access, Extra, Questions
from memberwise.signals.read import probability_vectors, read_answers


@dataclass(frozen=True)
class RandomInputs:
    """How sure a model is of the surest tenth of 1,000 random inputs: ``values`` is ``(m,)`` float64.

    It is the 90th percentile of the largest probabilities (Salem et al. 2019, section V). Every feature is drawn
    uniformly from its range; binary columns take either value. About a record itself one question is asked.
    """

    count: int = 1000
    share: float = 0.1

    name: ClassVar[str] = "random"
    words: ClassVar[str] = "answers to 1,000 random inputs"
    most_models: ClassVar[int] = 16

    def asks(self, questions: Questions) -> int:
        """Questions to one model."""
        return self.count

    def collect(self, access: Access, questions: Questions) -> Extra | None:
        if access.served.kind == "labels":
            return None
        features = Features.of(questions)
        u = random_numbers(questions, "random").random((self.count, *questions.x.shape[1:]), np.float32)
        u = np.where(features.binary, u < 0.5, u).astype(np.float32)
        raw = access.served.predict(features.low + (features.high - features.low) * u)[: access.count, :, None]
        answers = read_answers(raw, np.zeros(self.count, np.int64), access.served.kind, precision=np.float64)
        queries = np.ones((access.count, len(questions.audited)), np.int32)
        return Extra(np.quantile(probability_vectors(answers).max(-1), 1 - self.share, axis=1), queries)
