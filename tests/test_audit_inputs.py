"""Audits of records of several inputs, and of token ids: what arrives at the user's own code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import memberwise as mw
from memberwise.errors import DataError, StudyError

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 2, 120)
IDS = RNG.integers(0, 30_000, (120, 6))
MASK = np.ones((120, 6), np.int64)
SIZES: dict[str, Any] = {"members": 40, "nonmembers": 40, "shadow_models": 2, "attacks": ["loss", "label-only-noise"]}
FAST: dict[str, Any] = {"training.epochs": 1}


class TokenModel(nn.Module):
    def __init__(self, classes: Any) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(30_000, 4), nn.Linear(4, classes)

    def forward(self, ids: Any, mask: Any) -> Any:
        assert (ids.dtype, mask.dtype) == (torch.int64, torch.int64)
        return {"logits": self.head((self.embedding(ids) * mask[..., None]).mean(1)), "other": ids}


class OneInput(nn.Module):
    def __init__(self, classes: Any) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(30_000, 4), nn.Linear(4, classes)

    def forward(self, x: Any) -> Any:
        return self.head(self.embedding(x).mean(1))


class Dictionary(nn.Module):
    def __init__(self, classes: Any) -> None:
        super().__init__()
        self.inner = TokenModel(classes)

    def forward(self, records: Any) -> Any:
        return self.inner(records["ids"], records["mask"])


def audit(model: Any, data: Any, **more: Any) -> Any:
    return mw.audit(model=model, data=data, settings=FAST | more.pop("settings", {}), **SIZES | more)


@pytest.mark.slow
@pytest.mark.parametrize("model", [TokenModel, Dictionary])
def test_module_of_several_inputs_gets_them_by_name_or_as_one(model: Any) -> None:
    result = audit(model, ({"ids": IDS, "mask": MASK}, Y)).to_dict()
    assert [attack["name"] for attack in result["attacks"]] == ["loss"]
    assert [one["name"] for one in result["skipped"]] == ["label-only-noise"]  # altered ids would be other tokens


@pytest.mark.slow
def test_token_ids_arrive_at_an_embedding_as_int64() -> None:
    assert audit(OneInput, (IDS, Y)).to_dict()["shadow"]["count"] == 2  # an embedding takes no floats


@pytest.mark.slow
def test_training_function_gets_and_is_asked_the_users_inputs() -> None:
    seen = []

    def train(x: Any, y: Any, seed: int) -> Any:
        seen.append((x["ids"].dtype, x["mask"].dtype, (x["ids"][:, None] == IDS).all(2).any(1)))
        return lambda x: np.stack([x["ids"][:, 0] / 30_000, 1 - x["ids"][:, 0] / 30_000], 1)

    audit(train, ({"ids": IDS, "mask": MASK}, Y), settings={"plan.threads": 1})
    assert seen[0][:2] == (np.int64, np.int64)
    assert seen[0][2].all()


@pytest.mark.slow
def test_trained_module_of_several_inputs_answers_as_it_does() -> None:
    torch.manual_seed(0)
    target = TokenModel(2).eval()
    more = {"target": target, "train_rows": np.arange(60), "members": None, "nonmembers": None, "attacks": ["loss"]}
    accuracy = audit(TokenModel, ({"ids": IDS, "mask": MASK}, Y), **more).to_dict()["target"]["train_accuracy"]
    with torch.no_grad():
        answered = target(torch.from_numpy(IDS), torch.from_numpy(MASK))["logits"].argmax(1).numpy()
    assert accuracy == pytest.approx((answered == Y)[:60].mean())


@pytest.mark.slow
def test_function_target_is_asked_about_the_users_inputs() -> None:
    def ask(records: Any) -> Any:
        assert records["ids"].dtype == np.int64
        return np.eye(2)[records["ids"][:, 0] % 2]

    more = {"target": ask, "train_rows": np.arange(60), "members": None, "nonmembers": None, "attacks": ["gap"]}
    facts = audit(TokenModel, ({"ids": IDS, "mask": MASK}, Y), **more).to_dict()["target"]
    assert facts["train_accuracy"] == pytest.approx((IDS[:60, 0] % 2 == Y[:60]).mean())


@pytest.mark.slow
def test_released_model_of_several_inputs_answers_them(tmp_path: Path) -> None:
    inputs = {"ids": IDS, "mask": MASK}
    audit(TokenModel, (inputs, Y), out=tmp_path / "run")
    released = mw.load_target(tmp_path / "run", model=TokenModel)
    assert released.predict({"mask": MASK[:5], "ids": IDS[:5]}).shape == (5, 2)


@pytest.mark.parametrize("model", ["mlp", "sklearn.linear_model:LogisticRegression"])
def test_model_of_one_input_is_refused_for_several(model: Any) -> None:
    with pytest.raises(StudyError, match="takes one array of numbers"):
        audit(model, ({"ids": IDS, "mask": MASK}, Y))


@pytest.mark.parametrize("key", [{"shadow.data": "noisy"}, {"training.augment": ["mixup"]}])
def test_what_changes_records_is_refused_for_several_inputs(key: Any) -> None:
    with pytest.raises(StudyError, match=r"not made up or changed|no plain numbers"):
        audit(TokenModel, ({"ids": IDS, "mask": MASK}, Y), settings=key, auxiliary=30)


@pytest.mark.parametrize(
    ("model", "x"), [(TokenModel, {"ids": IDS, "mask": MASK}), (OneInput, IDS)], ids=["several", "one"]
)
@pytest.mark.parametrize(
    "settings",
    [
        {"answer": [{"name": "image-noise"}]},
        {"answer": [{"name": "ldl"}]},
        {"training.defence": "adversarial-training"},
        {"training.defence": "condensation"},
    ],
    ids=str,
)
def test_defence_that_changes_records_is_refused_for_tokens(model: Any, x: Any, settings: Any) -> None:
    with pytest.raises(StudyError, match="changes the numbers of records"):
        audit(model, (x, Y), settings=settings)


@pytest.mark.parametrize(("model", "several"), [(TokenModel, True), (OneInput, False)])
def test_population_of_narrower_ids_joins_the_records(model: Any, several: bool, tmp_path: Path) -> None:
    narrow = {"x.ids": IDS.astype(np.int32), "x.mask": MASK} if several else {"x": IDS.astype(np.int32)}
    np.savez(tmp_path / "more.npz", **narrow, y=Y)
    x = {"ids": IDS, "mask": MASK} if several else IDS
    result = audit(model, (x, Y), population=tmp_path / "more.npz", attacks=["loss"])
    assert result.to_dict()["data"]["population"] == len(Y)


def test_array_beside_inputs_of_its_name_is_refused(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"x": IDS, "x.ids": IDS, "x.mask": MASK, "y": Y}
    np.savez(tmp_path / "both.npz", **arrays)
    with pytest.raises(DataError, match="stands beside inputs"):
        audit(TokenModel, tmp_path / "both.npz")


@pytest.mark.parametrize("given", ["train", "target"])
def test_hamp_is_refused_where_a_function_takes_token_ids(given: str) -> None:
    """Its random inputs are fractions between ids."""
    rng = np.random.default_rng(0)
    ids, y = rng.integers(0, 9, (60, 4)), rng.integers(0, 2, 60)

    def answer(x: Any) -> Any:
        assert x.dtype.kind == "i"
        return np.full((len(x), 2), 0.5)

    more: dict[str, Any] = {"model": lambda x, y, seed: answer}
    if given == "target":
        more = {"model": "mlp", "target": answer, "train_rows": np.arange(30)}
    with pytest.raises(mw.StudyError, match="no plain numbers"):
        mw.audit(data=(ids, y), shadow_models=2, settings={"answer": ["hamp"], "data.reference": 10}, **more)
