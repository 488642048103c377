"""What ``power.py`` has attacked: records, roles and a trained target, written once, the same for every tool."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from memberwise.data.dataset import as_float
from memberwise.data.encoding import encode
from memberwise.data.sources import load

OTHERS = Path(__file__).parent / "others"
sys.path.insert(0, str(OTHERS))

from power_models import BATCH, DECAY, MOMENTUM, RATE, Net, forest  # noqa: E402


@dataclass(frozen=True)
class Kind:
    """One data set and model; ``records`` on either side."""

    source: str
    kind: str
    records: int
    population: int
    epochs: int = 1


KINDS = {
    "Location-30": Kind("location30", "mlp", 1200, 1000, 100),
    "Adult, MLP": Kind("adult", "mlp", 2000, 1000, 100),
    "Adult, forest": Kind("adult", "forest", 5000, 1000),
    "CIFAR-10": Kind("cifar10", "cnn", 1500, 1000, 30),
    "tiny": Kind("digits", "mlp", 150, 100, 3),
    "tiny forest": Kind("digits", "forest", 150, 100),
}


def make_task(name: str, seed: int, folder: Path) -> Path:
    """The folder of a task: records at random from the seed, and a target by a plain loop; made once."""
    at = folder / f"{name.lower().replace(', ', '-').replace(' ', '-')}-{seed}"
    if (at / "settings.json").exists():
        return at
    at.mkdir(parents=True, exist_ok=True)
    kind, rng = KINDS[name], np.random.default_rng(seed)
    x, y, classes = records_of(kind, rng)
    n = 2 * kind.records
    member = rng.permutation(n) < kind.records
    np.savez(at / "records.npz", x=x[:n], y=y[:n], member=member, world_x=x[n:], world_y=y[n:])
    np.savez(at / "all.npz", x=x, y=y)
    roles = {
        "members": np.flatnonzero(member),
        "nonmembers": np.flatnonzero(~member),
        "population": np.arange(n, len(x)),
    }
    for role, numbers in roles.items():
        np.save(at / f"{role}.npy", numbers)
    _target(at, kind, (x[:n][member], y[:n][member]), classes, seed)
    settings = {"kind": kind.kind, "epochs": kind.epochs, "classes": classes, "seed": seed}
    (at / "settings.json").write_text(json.dumps(settings))
    return at


def records_of(kind: Kind, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """Records at random, ``(n, features)`` float32 or images, tables encoded; their classes, and how many there are."""
    data = load(kind.source, progress=False)
    rows = rng.permutation(len(data.y))[: 2 * kind.records + kind.population]
    if data.frame is not None:
        data = encode(data, rows)
    x, y = np.asarray(as_float(data.x[rows]), np.float32), data.y[rows].astype(np.int64)
    return x if kind.kind == "cnn" else x.reshape(len(x), -1), y, len(data.outputs)


def _target(at: Path, kind: Kind, records: tuple[np.ndarray, np.ndarray], classes: int, seed: int) -> None:
    x, y = records
    if kind.kind == "forest":
        import skops.io

        skops.io.dump(forest(seed).fit(x, y), at / "target.skops")
        return
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    model = Net(kind.kind, x.shape[1:], classes)
    _train(model, torch.from_numpy(x), torch.from_numpy(y), kind.epochs)
    state = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    save_file({name.removeprefix("layers."): value for name, value in state.items()}, at / "target.safetensors")
    np.savez(at / "target.npz", **{name: value.numpy() for name, value in state.items()})


def _train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
    optimiser = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(BATCH):
            optimiser.zero_grad()
            functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimiser.step()
        schedule.step()


def audit_command(at: Path, models: int, out: Path) -> list[str]:
    """Ours: an ordinary audit of the task's target, with as many shadow models and its own plan."""
    settings = json.loads((at / "settings.json").read_text())
    roles = [
        part for role in ("members", "nonmembers", "population") for part in (f"--{role}", str(at / f"{role}.npy"))
    ]
    command = [sys.executable, "-m", "memberwise.cli.main", "audit", "--data", str(at / "all.npz"), *roles]
    if settings["kind"] == "forest":
        command += ["--model", "random-forest", "--target", str(at / "target.skops")]
    else:
        recipe = {"epochs": settings["epochs"], "learning_rate": RATE, "momentum": MOMENTUM, "weight_decay": DECAY}
        recipe |= {"batch_size": BATCH}
        command += ["--model", f"{OTHERS / 'power_models.py'}:{settings['kind']}"]
        command += ["--target", str(at / "target.safetensors")]
        command += [part for key, value in recipe.items() for part in ("--set", f"training.{key}={value}")]
    command += [
        "--train-rows",
        str(at / "members.npy"),
        "--shadow-models",
        str(models),
        "--seed",
        str(settings["seed"]),
        "--out",
        str(out),
        "--quiet",
    ]
    return command
