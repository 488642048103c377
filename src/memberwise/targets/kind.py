"""What one answer of a model is."""

from typing import Literal

# "scores" are defended answers that need not sum to 1; "labels" are answered class numbers alone.
Kind = Literal["logits", "probabilities", "scores", "labels"]
