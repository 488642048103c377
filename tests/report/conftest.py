"""One synthetic audit, with every field of the schema, for all tests of the report."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memberwise.report import html
from memberwise.report.schema import AuditResult

HOSTILE = "<script>alert('x')</script> & \"quoted\" https://example.org/?a=1"
RATES = (0.1, 0.01, 0.001)
# name, distance between members and non-members in standard deviations, needs, where the threshold was chosen
ATTACKS = [
    ("gap", 0.2, ["answered label", "true label"], "shadows"),
    ("loss", 0.25, ["scores", "true label"], "shadows"),
    ("confidence", 0.2, ["scores (full vector)"], "shadows"),
    ("top-one-search", 0.15, ["logits (full vector)"], "audited (optimistic)"),
    ("shokri", 0.3, ["scores (full vector)", "true label", "shadow models (IN and OUT)"], "shadows"),
    ("attack-p", 0.25, ["scores", "true label", "population"], "population"),
    ("lira-offline", 0.6, ["scores", "true label", "shadow models (OUT)"], "shadows"),
    ("lira-online-fixed", 0.9, ["scores", "true label", "shadow models (IN and OUT)"], "shadows"),
    ("rmia-online", 0.8, ["scores", "true label", "shadow models (IN and OUT)", "population"], "half"),
]


@dataclass
class Audit:
    """The three inputs of the report room; the result as plain values, which tests change."""

    result: dict[str, Any]
    scores: pd.DataFrame
    curves: dict[str, np.ndarray]

    @property
    def parts(self) -> AuditResult:
        return AuditResult.from_dict(self.result)


def estimate(value: float, width: float, n: int, method: str = "Clopper-Pearson") -> dict[str, Any]:
    low, high = max(0.0, value - width), min(1.0, value + width)
    return {"value": value, "low": low, "high": high, "n_members": n, "n_nonmembers": n, "method": method}


def make_audit(n: int = 1500, models: int = 64, worst: int = 12, images: bool = True) -> Audit:
    """A audit of ``2 n`` records, its figures taken off drawn scores."""
    rng = np.random.default_rng(7)
    member = rng.permutation(np.arange(2 * n) % 2)
    scores = pd.DataFrame(
        {
            "index": rng.permutation(4 * n)[: 2 * n],
            "label": rng.integers(0, 10, 2 * n),
            "member": member,
            "evaluated": (rng.random(2 * n) > 0.01).astype(int),
        }
    )
    curves: dict[str, np.ndarray] = {}
    attacks = []
    for name, distance, needs, chosen_on in ATTACKS:
        raw = rng.standard_t(4, 2 * n) + distance * member
        raw = (raw > -0.5).astype(float) if name == "gap" else raw
        raw[rng.random(2 * n) < 0.002] = np.nan
        scores[name] = raw
        attacks.append(_attack(name, raw, member == 1, needs, chosen_on, curves))
    head = "lira-online-fixed"
    curves[f"{head}.band_fpr"] = np.geomspace(1 / n, 1, 40)
    middle = np.interp(curves[f"{head}.band_fpr"], curves[f"{head}.fpr"], curves[f"{head}.tpr"])
    curves[f"{head}.band_low"], curves[f"{head}.band_high"] = middle * 0.7, np.minimum(1, middle * 1.3 + 0.002)
    top = scores.nlargest(worst, head)
    _add_worst(top, curves, models, images, rng)
    return Audit(_result(top, attacks, n, models), scores, curves)


def _attack(name: str, raw: Any, member: Any, needs: list[str], chosen_on: str, curves: Any) -> dict[str, Any]:
    known = ~np.isnan(raw)
    n = int(member.sum())
    cuts = np.unique(np.quantile(raw[known], np.linspace(0, 1, 300)))[::-1]
    fpr = np.array([0.0, *((raw[known & ~member] > cut).mean() for cut in cuts), 1.0])
    tpr = np.array([0.0, *((raw[known & member] > cut).mean() for cut in cuts), 1.0])
    curves[f"{name}.fpr"], curves[f"{name}.tpr"] = fpr, tpr
    rows = []
    for rate in RATES:
        row = {"fpr": rate, **estimate(float(np.interp(rate, fpr, tpr)), 0.02 + rate / 9, n, "order statistics")}
        row["resolvable"] = "yes" if rate * n >= 10 else "weak" if rate * n > 4.4 else "no"
        if row["resolvable"] == "no":
            row |= {"low": None, "high": None, "method": "no valid interval: too few non-members"}
        rows.append(row)
    return {
        "name": name,
        "needs": needs,
        "queries": 1,
        "auc": estimate(float(np.trapezoid(tpr, fpr)), 0.02, n, "DeLong"),
        "balanced_accuracy": estimate(float((tpr - fpr).max() / 2 + 0.5), 0.015, n),
        "advantage": estimate(float((tpr - fpr).max()), 0.03, n),
        "precision": estimate(0.64, 0.03, n),
        "recall": estimate(0.58, 0.03, n),
        "tpr_at_fpr": rows,
        "threshold": {"value": 0.31, "chosen_on": chosen_on},
        "at_shadow_threshold": [],
        "ppv": [],
        "seconds": 0.123,
    }


def _add_worst(top: pd.DataFrame, curves: Any, models: int, images: bool, rng: np.random.Generator) -> None:
    w = len(top)
    trained = (np.argsort(rng.random((w, models)), axis=1) < models // 2).astype(np.int8)
    trained[:, -2:] = -1
    curves["worst.index"] = top["index"].to_numpy()
    curves["worst.phi"] = rng.normal(0, 1.2, (w, models)) + 5 * (trained == 1)
    curves["worst.phi_target"] = rng.normal(5.5, 1, w)
    curves["worst.trained_on"] = trained
    if images:
        curves["worst.image"] = rng.integers(0, 256, (w, 28, 28), dtype=np.uint8)


def _result(top: pd.DataFrame, attacks: list[dict[str, Any]], n: int, models: int) -> dict[str, Any]:
    parts = [
        {"name": str(c), "n_members": n // 10, "n_nonmembers": n // 10, "auc": estimate(0.6 + c / 50, 0.06, n // 10),
         "tpr": {"fpr": 0.1, **estimate(0.2 + c / 50, 0.09, n // 10), "resolvable": "yes"} if c != 7 else None}
        for c in range(10)
    ]  # fmt: skip
    return {
        "schema_version": 2,
        "memberwise_version": "0.1.0",
        "study": {
            "data": {"source": "mnist", "members": n, "label": None},
            "model": {"name": "mlp", "hidden": [200, 200]},
            "training": {"epochs": 20, "batch_size": 64, "optimizer": "sgd", "learning_rate": 0.05, "augment": []},
            "shadow": {"count": models, "data": "halves"},
            "statistics": {"fpr": list(RATES), "confidence": 0.95, "delta": 1e-5},
            "gate": {"rules": ["tpr@0.01>0.05"]},
            "run": {"seed": 1},
        },
        "seed": 1,
        "created": "2026-03-04T05:06:07Z",
        "seconds": 61.25,
        "data": {
            "source": "mnist", "sha256": "ab" * 32, "records": 70000, "classes": 10,
            "class_names": [str(c) for c in range(10)], "members": n, "nonmembers": n,
            "background": 0, "population": 3000, "test": 10000,
        },
        "encoding": None,
        "target": {
            "kind": "torch", "architecture": "mlp 784-200-200-10", "train_accuracy": 1.0, "test_accuracy": 0.9473,
            "train_loss": 0.0021, "test_loss": 0.2134, "gap": 0.0527,
            "validation_accuracy": None,
        },
        "shadow": {
            "count": models, "data": "halves", "engine": "local", "plan": {"stack": 32, "precision": "float32"},
            "seconds": 41.5, "models_per_second": 1.54, "train_accuracy": 1.0, "test_accuracy": 0.9461,
            "resumed": 0,
        },
        "headline": "lira-online-fixed",
        "attacks": attacks,
        "epsilon": {
            "value": 1.37, "confidence": 0.95, "delta": 1e-5, "method": "Clopper-Pearson at one threshold",
            "basis": "records of one run (descriptive)",
        },
        "discoveries": None,
        "mismatch": None,
        "skipped": [{"name": "top-one", "reason": "needs logits; the target answers probabilities"}],
        "records": {
            "worst": [
                {"index": int(row["index"]), "label": str(int(row["label"])), "member": bool(row["member"]),
                 "score": float(row["lira-online-fixed"]), "attack": "lira-online-fixed"}
                for _, row in top.iterrows()
            ],
            "per_class": parts,
            "per_group": [{**parts[0], "name": "female"}, {**parts[1], "name": "male"}],
        },
        "family": {"names": ["gap", "rmia-online"], "decision": "inconclusive", "adjusted": [], "stronger": []},
        "verdict": {
            "gate": "tpr@0.01>0.05", "passed": None, "reason": "the interval holds the limit",
            "rules": [{"rule": "tpr@0.01>0.05", "passed": None, "reason": "the interval holds it", "broken_by": []}],
            "withheld": [],
        },
        "warnings": [{"code": "accuracy-gap", "message": "the target beats its shadow models: 94.7% to 94.6%"}],
        "redacted": [],
    }  # fmt: skip


_AUDIT = make_audit()


@pytest.fixture
def audit() -> Audit:
    """The full audit; every test gets its own copy."""
    return copy.deepcopy(_AUDIT)


@pytest.fixture(scope="session")
def whole() -> str:
    """The page of the full audit, drawn once for the tests that change nothing."""
    return html.render(_AUDIT.parts, _AUDIT.scores, _AUDIT.curves)


@pytest.fixture
def large() -> Audit:
    """An audit of 50,000 records."""
    return make_audit(n=25_000)


@pytest.fixture
def bare(audit: Audit) -> Audit:
    """Saved answers without shadow models: everything that may be null or absent is."""
    result = audit.result
    result["shadow"] = result["epsilon"] = None
    result["target"] = dict.fromkeys(result["target"])
    result["target"]["kind"] = "saved answers"
    result["data"] |= {"sha256": None, "population": None}
    result["study"] = {}
    result["skipped"] = [{"name": "lira-online-fixed", "reason": "needs shadow models, and there are none"}]
    result["headline"] = "loss"
    result["attacks"] = [attack for attack in result["attacks"] if attack["name"] in ("gap", "loss")]
    gap, loss = result["attacks"]
    gap |= {"auc": None, "tpr_at_fpr": [], "threshold": None, "seconds": None}
    loss |= dict.fromkeys(("balanced_accuracy", "advantage", "precision", "recall", "threshold"))
    loss["auc"] |= {"low": None, "high": float("nan"), "method": "no valid interval: one record"}
    result["records"] = {"worst": [], "per_class": [], "per_group": []}
    verdict = {"gate": None, "passed": None, "reason": "no gate was set", "rules": [], "withheld": []}  # type: ignore[var-annotated]
    result["family"], result["verdict"] = None, verdict
    result["warnings"] = []
    audit.scores = audit.scores[["index", "label", "member", "evaluated", "gap", "loss"]]
    audit.curves = {key: audit.curves[key] for key in ("loss.fpr", "loss.tpr")}
    return audit


@pytest.fixture
def hostile(audit: Audit) -> Audit:
    """Strings of a user who means harm, wherever a string can come from a user."""
    result = audit.result
    result["data"]["source"] = result["target"]["architecture"] = HOSTILE
    result["study"]["data"][HOSTILE] = HOSTILE
    result["verdict"]["reason"] = HOSTILE + "\x00\x0b"
    result["created"] = HOSTILE
    result["warnings"] = [{"code": HOSTILE, "message": HOSTILE + "\ud800"}]
    result["skipped"] = [{"name": HOSTILE, "reason": HOSTILE}]
    for row in [*result["records"]["per_class"], *result["records"]["per_group"]]:
        row["name"] = HOSTILE
    for row in result["records"]["worst"]:
        row["label"] = HOSTILE
    result["attacks"][1]["name"] = result["attacks"][1]["needs"][0] = HOSTILE
    result["attacks"][1]["auc"]["method"] = HOSTILE
    for end in ("fpr", "tpr"):
        audit.curves[f"{HOSTILE}.{end}"] = audit.curves.pop(f"loss.{end}")
    return audit
