"""Audit a transformers classifier, made from its configuration: token ids and mask go in as they are."""

import os
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is downloaded; for weights of your own: from_pretrained(FOLDER)
import numpy as np
from transformers import BertConfig, BertForSequenceClassification

import memberwise as mw


def make_model(classes: Any) -> Any:
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    return BertForSequenceClassification(BertConfig(**sizes | {"num_labels": classes, "vocab_size": 30_001}))


def records(count: int = 300, length: int = 12, seed: int = 0) -> Any:
    """Made-up sentences whose label shows in some of their tokens; a tokeniser gives the same dictionary."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    telling = rng.random((count, length)) < 0.3
    ids = np.where(telling, 29_990 + 5 * labels[:, None], rng.integers(0, 30_000, (count, length)))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}, labels


def main(shadow_models: int = 8, epochs: int = 5) -> Any:
    recipe = {"training.optimizer": "adamw", "training.learning_rate": 1e-3, "training.epochs": epochs}
    sizes: dict[str, Any] = {"members": 100, "nonmembers": 100, "shadow_models": shadow_models}
    return mw.audit(model=make_model, data=records(), settings=recipe, **sizes)


if __name__ == "__main__":
    print(main())
