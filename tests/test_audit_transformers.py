"""A small BERT made from its configuration: what arrives, and that its shadow models are those of a plain loop."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memberwise.data import from_object
from memberwise.models.adapting import adapted_model
from memberwise.models.build import model_of
from memberwise.models.network import Network
from memberwise.study.schema import ModelConfig, TrainingConfig
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors

pytest.importorskip("transformers")
pytestmark = pytest.mark.slow


@pytest.fixture
def example() -> Any:
    spec = importlib.util.spec_from_file_location("bert", Path(__file__).parent.parent / "examples" / "bert.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_example_with_bert_audits_its_token_ids(example: Any) -> None:
    result = example.main(shadow_models=2, epochs=1).to_dict()
    assert result["encoding"]["steps"][0].startswith("inputs: input_ids int64 (12,), attention_mask int64")
    assert result["shadow"]["count"] == 2


def test_bert_trained_here_is_as_good_as_in_a_plain_loop(example: Any) -> None:
    inputs, labels = example.records(160)
    dataset = from_object((inputs, labels), source="test")
    model = adapted_model(model_of(make_model, ModelConfig(), dataset.shape, 2, "m"), dataset.layout, dataset.x[:2])
    network = Network(model.make, torch.device("cpu"))
    data = DataTensors.of(dataset.x, dataset.y, 2, torch.device("cpu"))
    study = TrainingConfig(epochs=4, batch_size=20, optimizer="adamw", learning_rate=2e-3, schedule="constant")
    recipe = Recipe.of(study)
    rows, ours, plain = np.arange(80), [], []
    for seed in range(8):
        trained = train_stack([Job(rows, Step(), recipe, seed)], network, data, stacked=False)
        params = {name: value[0] for name, value in (trained.params | trained.buffers).items()}
        with torch.no_grad():
            answers = torch.func.functional_call(network.module.eval(), params, (data.x[80:],))
        ours.append((answers.argmax(1).numpy() == labels[80:]).mean())
        plain.append(_plain_accuracy(inputs, labels, seed))
    # Eight runs each, of other batches and dropout: apart by no more than chance does.
    spread = np.hypot(np.std(ours, ddof=1), np.std(plain, ddof=1)) / np.sqrt(8)
    assert abs(np.mean(ours) - np.mean(plain)) <= 3 * max(spread, 0.01)
    assert np.mean(ours) > 0.6


def make_model(classes: Any) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    return BertForSequenceClassification(BertConfig(**sizes | {"num_labels": classes, "vocab_size": 30_001}))


def _plain_accuracy(inputs: Any, labels: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    model = make_model(2)
    ids, mask, y = (torch.from_numpy(a) for a in (inputs["input_ids"], inputs["attention_mask"], labels))
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0)
    model.train()
    for _ in range(4):
        for batch in torch.randperm(80).split(20):
            optimiser.zero_grad()
            answers = model(input_ids=ids[batch], attention_mask=mask[batch]).logits
            torch.nn.functional.cross_entropy(answers, y[batch]).backward()
            optimiser.step()
    model.eval()
    with torch.no_grad():
        answers = model(input_ids=ids[80:], attention_mask=mask[80:]).logits
    return (answers.argmax(1) == y[80:]).float().mean().item()
