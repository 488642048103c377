"""The examples of models and data run, and end in figures that can be right."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import memberwise as mw

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: Any) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_chest_findings_are_audited_together_and_one_by_one() -> None:
    chest = example("chest_findings")
    facts = chest.main(shadow_models=2, epochs=1).to_dict()
    assert facts["data"]["class_names"] == chest.FINDINGS
    assert 0.4 < facts["target"]["test_auroc"] <= 1


@pytest.mark.slow
def test_grid_search_shows_leakage_falling_with_larger_leaves() -> None:
    search = example("grid_search").main(trees=10)
    leakage = search.cv_results_["mean_test_leakage"]
    assert leakage[0] < leakage[1] < leakage[2] <= -0.45
    assert mw.inspect(search.best_estimator_).stored_records == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # transformers' and peft's own
def test_lora_trains_adapters_around_one_frozen_backbone(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from safetensors.numpy import load_file

    lora = example("lora")
    facts = lora.main(shadow_models=2, epochs=3, attacks=["loss"], out=tmp_path).to_dict()
    assert facts["target"]["kind"] == "trained here"
    trained = load_file(tmp_path / "target" / "model.safetensors")
    before = {name: value.numpy() for name, value in lora.make_model(2).state_dict().items()}
    assert set(before) <= set(trained)
    changed = {name for name, value in before.items() if (value != trained[name]).any()}
    assert changed
    assert all("lora_" in name or "modules_to_save" in name for name in changed)
    assert any("lora_A" in name for name in changed)
