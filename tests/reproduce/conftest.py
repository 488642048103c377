"""Reproductions without training: audits are checked and answered with made-up figures, so that rows can be judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memberwise.assess import AttackRequest
from memberwise.auditing.prepare import Inputs
from memberwise.auditing.prepare.records import records_of
from memberwise.data import Dataset
from memberwise.defences.training.registry import write_out_defence
from memberwise.report.result import Result
from memberwise.reproduce import bench, find_reproduction, tuning
from memberwise.reproduce.bench import Bench
from memberwise.reproduce.reproduction import Size
from memberwise.reproduce.tables import shokri_dp, weighted_smoothing
from memberwise.seeds import Seeds
from memberwise.study.reading import make_study, put

# Records of the sources without and in their own test part.
RECORDS = {
    "adult": (32_561, 16_281),
    "mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "location30": (5_010, 0),
    "purchase100": (197_324, 0),
    "texas100": (67_330, 0),
    "lfw62": (3_023, 0),
    "ham10000": (10_015, 0),
}


@dataclass(frozen=True)
class Faked(Bench):
    """``asked``: the settings of every audit by its label."""

    questions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def audit(self, label: str, settings: Mapping[str, Any], inputs: Inputs | None = None) -> Result:
        values: dict[str, Any] = {}
        for key, value in ({"data.source": self.source} | dict(settings)).items():
            put(values, key, value)
        study = write_out_defence(make_study(values, label))
        AttackRequest.of(study)  # knows the attacks
        assert study.shadow.count >= (4 if "lira-online" in str(study.attacks.headline) else 2)  # a pair is left out
        rows = inputs.rows if inputs is not None else {}
        records_of(study, Inputs(dataset=numbered(study.data.source), rows=rows), Seeds(1))  # there are that many
        assert label not in self.questions
        self.questions[label] = dict(settings)
        return made_up(study.to_dict(), len(self.questions))


def numbered(source: str) -> Dataset:
    """As many records as the source has, each its number."""
    own, test = RECORDS[source.partition("?")[0]]
    x = np.arange(own + test, dtype=np.float32)[:, None]
    y = np.arange(own + test, dtype=np.int64) % 10
    rows = np.arange(own, own + test) if test else None
    return Dataset(x, y, tuple("0123456789"), source, test=rows)


def made_up(study: dict[str, Any], number: int) -> Result:
    """Figures by place: the k-th attack of the study has an accuracy of 0.5 + k / 100."""
    n = study["data"]["members"] or 1000
    measured, unmeasured = ("balanced_accuracy", "auc", "precision", "recall"), ("queries", "advantage", "threshold")
    blank = dict.fromkeys((*unmeasured, "seconds"))
    attacks: list[dict[str, Any]] = [
        blank | {"name": name} | dict.fromkeys(measured, estimate(0.5 + k / 100, n))
        for k, name in enumerate(study["attacks"]["use"])
    ]
    for attack in attacks:
        rates = (0.01, 0.001, 0.0001)
        attack["tpr_at_fpr"] = [{"fpr": fpr, "resolvable": "yes", **estimate(fpr, n)} for fpr in rates]
    target = {"train_accuracy": 1.0, "test_accuracy": 0.9 - number / 1000}
    data = {"test": n, "members": n, "nonmembers": n}
    headline = study["attacks"]["headline"]
    content = {
        "records": {},
        "verdict": {"gate": None, "passed": None, "reason": "no gate was set"},
        "study": study,
        "target": target,
        "data": data,
        "attacks": attacks,
        "headline": headline,
    }
    return Result(content, scores(study["attacks"]["use"], number))


def scores(attacks: list[str], number: int) -> pd.DataFrame:
    """Of 1,200 records, scores between 0 and 15 that tell nothing."""
    rng, n = np.random.default_rng(number), 1200
    own = {"index": np.arange(n), "label": np.arange(n) % 10, "member": np.arange(n) % 2, "evaluated": 1}
    return pd.DataFrame(own | {name: rng.uniform(0, 15, n) for name in attacks})


def estimate(value: float, n: int) -> dict[str, Any]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "n_members": n, "n_nonmembers": n, "method": "m"}


@pytest.fixture
def faked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Faked]:
    """``faked(name, size, data)``: a bench whose audits are made up; the publication's own data by default.

    Records are numbers, and of all recipes the last that is tried is the best on validation records.
    """
    for module in (bench, tuning, weighted_smoothing, shokri_dp):
        monkeypatch.setattr(module, "records_of", numbered)
    tried = count()
    monkeypatch.setattr(tuning, "_accuracy", lambda bench, label, settings: float(next(tried)))

    def make(name: str, size: Size, data: tuple[str, ...] | None = None, device: str = "cpu") -> Faked:
        reproduction = find_reproduction(name)
        own = tuple(options[0] for options in reproduction.data)
        return Faked(reproduction, size, 1, device, tmp_path, data or own)

    return make
