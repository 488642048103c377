"""Audit LoRA adapters (peft) around a frozen transformers classifier: the adapters alone are trained."""

import os
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is downloaded; for weights of your own: from_pretrained(FOLDER)
import numpy as np
import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import BertConfig, BertForSequenceClassification

import memberwise as mw


def make_model(classes: Any) -> Any:
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    with torch.random.fork_rng():  # the backbone is the same for all models, the adapters are each model's own
        torch.manual_seed(0)
        config = BertConfig(**sizes | {"intermediate_size": 64, "num_labels": classes, "vocab_size": 1000})
        backbone = BertForSequenceClassification(config)
    return get_peft_model(backbone, LoraConfig(task_type=TaskType.SEQ_CLS, r=8, target_modules=["query", "value"]))


def records(count: int = 300, length: int = 8, seed: int = 0) -> Any:
    """Made-up sentences whose label shows in some of their tokens."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    ids = np.where(rng.random((count, length)) < 0.4, 990 + 5 * labels[:, None], rng.integers(0, 900, (count, length)))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}, labels


def main(shadow_models: int = 8, epochs: int = 10, **more: Any) -> Any:
    recipe: dict[str, Any] = {"training.optimizer": "adamw", "training.learning_rate": 1e-2, "training.epochs": epochs}
    recipe["training.batch_size"] = 16
    sizes: dict[str, Any] = {"members": 100, "nonmembers": 100, "shadow_models": shadow_models}
    return mw.audit(model=make_model, data=records(), settings=recipe, **sizes | more)


if __name__ == "__main__":
    print(main())
