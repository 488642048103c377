"""What a report says of how models were fitted and asked, kept with their answers."""

from __future__ import annotations

from memberwise.errors import Note
from memberwise.types.arrays import Arrays

WORDS = {
    "margins": "answers are margins (decision_function), no log-odds: their order is right, and attacks read them "
    "through a softmax; losses and probabilities made from them mean nothing by themselves",
    "numbered-labels": "the model refuses the data's own labels, so it was fitted on their numbers, 0, 1, 2 ... in "
    "sorted order, and its answers were put back in their places",
}


def remark_notes(*models: Arrays) -> list[Note]:
    """As (code, message), each once; ``models``: arrays of the target and of the shadow models, as collected."""
    codes = {code for arrays in models for each in arrays.get("remarks", ()) for code in str(each).split()}
    return [Note(code, message) for code, message in WORDS.items() if code in codes]
