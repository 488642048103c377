"""State dicts as people save them: wrapped, tied, averaged, in checkpoints; and what does not fit, in words."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from memberwise.errors import TargetError
from memberwise.models.network import Network
from memberwise.targets.state_dicts import load_weights

X = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


class Masked(nn.Module):
    """With a buffer that is not saved."""

    def __init__(self, persistent: bool = False, drawn: bool = False) -> None:
        super().__init__()
        self.register_buffer("mask", torch.randn(6) if drawn else 2 * torch.ones(6), persistent=persistent)
        self.out = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x * self.mask)  # type: ignore[no-any-return, operator]


class Tied(nn.Module):
    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        if tied:
            self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.b(self.a(x).relu()).relu())  # type: ignore[no-any-return]


class Extra(nn.Module):
    """Whose answers depend on what it keeps beside tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.factor = nn.Linear(6, 3), 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.out(x)  # type: ignore[no-any-return]

    def get_extra_state(self) -> dict[str, float]:
        return {"factor": self.factor}

    def set_extra_state(self, state: dict[str, float]) -> None:
        self.factor = state["factor"]


class Inside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = plain()

    def forward(self, x: Tensor) -> Tensor:
        return self.backbone(x)  # type: ignore[no-any-return]


def trained(make: Any = plain) -> nn.Module:
    """A module whose parameters and running statistics are no fresh ones."""
    torch.manual_seed(5)
    module: nn.Module = make()
    with torch.no_grad():
        for value in module.state_dict().values():
            if isinstance(value, Tensor) and value.is_floating_point():
                value.add_(torch.rand_like(value))
    return module.eval()


def loaded(path: Path, make: Any = plain) -> nn.Module:
    return load_weights(path, Network(make, torch.device("cpu")))[0].eval()


def answers_alike(path: Path, truth: nn.Module, make: Any = plain) -> None:
    with torch.no_grad():
        torch.testing.assert_close(loaded(path, make)(X), truth(X))


WRAPPED = ["", "module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "_module.", "module.module.", "net."]


@pytest.mark.parametrize("prefix", [*WRAPPED, "model.backbone.", "_forward_module._orig_mod."])
@pytest.mark.parametrize("make", [plain, Inside])
def test_wrappers_are_taken_off(tmp_path: Path, prefix: str, make: Any) -> None:
    truth = trained(make)
    save_file({prefix + name: value for name, value in truth.state_dict().items()}, tmp_path / "w.safetensors")
    answers_alike(tmp_path / "w.safetensors", truth, make)


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, partial(torch.compile, backend="eager"), torch.optim.swa_utils.AveragedModel]
)
def test_what_torchs_own_wrappers_save(tmp_path: Path, wrap: Any) -> None:
    truth = trained()
    torch.save(wrap(truth).state_dict(), tmp_path / "w.pt")
    answers_alike(tmp_path / "w.pt", truth)
    torch.save(nn.DataParallel(wrap(truth)).state_dict(), tmp_path / "w.pt")
    answers_alike(tmp_path / "w.pt", truth)


def test_a_part_is_wrapped_and_the_whole_is_not(tmp_path: Path) -> None:
    truth = trained(Inside)
    names = {name.replace("backbone.", "backbone._orig_mod."): value for name, value in truth.state_dict().items()}
    torch.save(names, tmp_path / "w.pt")
    answers_alike(tmp_path / "w.pt", truth, Inside)
    torch.save(truth.state_dict(), tmp_path / "w.pt")
    answers_alike(tmp_path / "w.pt", truth.backbone)  # type: ignore[arg-type]
    torch.save(truth.backbone.state_dict(), tmp_path / "w.pt")  # type: ignore[union-attr]
    answers_alike(tmp_path / "w.pt", truth, Inside)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    truth = trained()
    rounded = {k: v.to(dtype) if v.is_floating_point() else v for k, v in truth.state_dict().items()}
    torch.save(rounded, tmp_path / "w.pt")
    truth.load_state_dict(rounded)
    answers_alike(tmp_path / "w.pt", truth)


def test_what_is_not_saved_is_taken_from_the_architecture(tmp_path: Path) -> None:
    truth = trained(Masked)
    torch.save(truth.state_dict(), tmp_path / "w.pt")
    answers_alike(tmp_path / "w.pt", truth, Masked)


def test_what_an_older_architecture_saved_is_taken_from_the_file(tmp_path: Path) -> None:
    truth = trained(lambda: Masked(persistent=True))
    torch.save(truth.state_dict(), tmp_path / "w.pt")
    answers_alike(tmp_path / "w.pt", truth, Masked)


def test_extra_state_is_given_to_the_module(tmp_path: Path) -> None:
    truth = trained(Extra)
    truth.factor = 3.0  # type: ignore[assignment]
    torch.save({f"module.{name}": value for name, value in truth.state_dict().items()}, tmp_path / "w.pt")
    answers_alike(tmp_path / "w.pt", truth, Extra)


def test_a_file_without_counts_of_batches(tmp_path: Path) -> None:
    truth = trained()
    torch.save({k: v for k, v in truth.state_dict().items() if "num_batches" not in k}, tmp_path / "w.pt")
    answers_alike(tmp_path / "w.pt", truth)


def test_shared_weights_under_one_name_or_two(tmp_path: Path) -> None:
    truth = trained(Tied)
    torch.save(truth.state_dict(), tmp_path / "w.pt")
    save_model(truth, str(tmp_path / "w.safetensors"))
    for name in ("w.pt", "w.safetensors"):
        answers_alike(tmp_path / name, truth, Tied)
        answers_alike(tmp_path / name, truth, lambda: Tied(tied=False))
    torch.save(trained(lambda: Tied(tied=False)).state_dict(), tmp_path / "w.pt")
    with pytest.raises(TargetError, match=r"a.weight and b.weight are one tensor(.|\n)*shares no weights"):
        loaded(tmp_path / "w.pt", Tied)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "ema.module", "net"])
def test_the_key_of_a_checkpoint_is_told(tmp_path: Path, key: str) -> None:
    truth = trained()
    state: Any = truth.state_dict()
    for part in reversed(key.split(".")):
        state = {part: state}
    optimizer = torch.optim.Adam(truth.parameters())
    truth(X).sum().backward()
    optimizer.step()
    torch.save({"epoch": 3, "optimizer": optimizer.state_dict(), "note": "x", **state}, tmp_path / "w.ckpt")
    module, notes = load_weights(tmp_path / "w.ckpt", Network(plain, torch.device("cpu")))
    torch.testing.assert_close(module.state_dict(), truth.state_dict())
    assert [(code, repr(key) in message) for code, message in notes] == [("target-checkpoint", True)]


def test_a_checkpoint_with_two_models_is_not_guessed_at(tmp_path: Path) -> None:
    one, other = trained(), trained(lambda: plain().double().float())
    torch.save({"model": one.state_dict(), "ema": one.state_dict()}, tmp_path / "w.pt")
    answers_alike(tmp_path / "w.pt", one)
    other[0].weight.data.mul_(2)  # type: ignore[index]
    torch.save({"model": one.state_dict(), "ema": other.state_dict()}, tmp_path / "w.pt")
    with pytest.raises(TargetError, match=r"several models' weights(.|\n)*'model', 'ema'(.|\n)*\['model'\]"):
        loaded(tmp_path / "w.pt")


def _without(state: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name not in names}


STATE = trained().state_dict()
MISFITS = {
    "a part is missing": (
        _without(STATE, "3.weight", "3.bias"),
        r"3.weight is missing(.|\n)*a part of the architecture",
    ),
    "a part more": (
        STATE | {"4.weight": torch.ones(2)},
        r"4.weight is not part(.|\n)*parts that the architecture lacks",
    ),
    "a size": (
        STATE | {"3.weight": torch.ones(7, 5), "3.bias": torch.ones(7)},
        r"3.weight has shape \(7, 5\) instead of \(3, 5\)(.|\n)*the sizes of the target",
    ),
    "another module": (
        {"encoder.w": torch.ones(2), "encoder.b": torch.ones(2)},
        r"another module's weights, with entries such as encoder.w, encoder.b",
    ),
    "extra state": (STATE | {"_extra_state": {"v": 1}}, r"_extra_state is not part of the architecture"),
    "no tensors": ({"epoch": 1}, r"holds no state dict"),
}


@pytest.mark.parametrize(("state", "match"), MISFITS.values(), ids=MISFITS.keys())
def test_what_does_not_fit_is_named_with_a_hint_that_does(tmp_path: Path, state: dict[str, Any], match: str) -> None:
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(TargetError, match=match):
        loaded(tmp_path / "w.pt")


def test_a_whole_module_is_refused_by_what_it_is(tmp_path: Path) -> None:
    torch.save(trained(), tmp_path / "w.pt")
    with pytest.raises(TargetError, match=r"an object of torch.nn.modules.container.Sequential(.|\n)*state_dict\(\)"):
        loaded(tmp_path / "w.pt")


def test_a_drawn_buffer_that_is_not_saved(tmp_path: Path) -> None:
    import numpy as np

    from memberwise.data import from_object
    from memberwise.targets.files import load_target
    from memberwise.targets.kinds import TargetContext

    dataset = from_object((X.numpy(), np.arange(9) % 3), source="data")
    for drawn in (False, True):
        torch.save(trained(lambda drawn=drawn: Masked(drawn=drawn)).state_dict(), tmp_path / "w.pt")
        network = Network(lambda drawn=drawn: Masked(drawn=drawn), torch.device("cpu"))  # type: ignore[misc]
        if not drawn:
            assert load_target(tmp_path / "w.pt", TargetContext(dataset, X.numpy(), network))[1] == []
            continue
        with pytest.raises(TargetError, match=r"persistent=False"):
            load_target(tmp_path / "w.pt", TargetContext(dataset, X.numpy(), network))
