"""LiRA with 16 shadow models, and RMIA with few reference models, on CIFAR-10."""

from __future__ import annotations

from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench, figure
from memberwise.reproduce.claim import Findings, Ours, Plot, Row, Series
from memberwise.reproduce.reproduction import Reproduction
from memberwise.training.plan import choose_device

LIRA = ("lira-online", "lira-online-fixed", "lira-offline", "lira-offline-fixed", "loss")
RMIA = ("rmia-offline", "attack-r", "lira-offline-fixed", "attack-p")
ONLINE = ("rmia-online", "lira-online")
SMALLER = "a small network: the publication trains WRN-28-2 on 25,000 records"
RARE = "too few records to state a TPR at this rate"
# How near a repetition with 16 shadow models is expected to come.
TOLERANCE = {"AUC": 0.02, "TPR at 0.1%": 0.02}


def lira_16(bench: Bench) -> Findings:
    """AUC and TPR at 0.1 % of LiRA's forms and of the global threshold, with 16 shadow models."""
    result = bench.audit("16 shadow models", _study(bench, bench.pick(4, 16, 16), LIRA))
    full = _published_network(bench)
    rows: list[Row] = []
    for attack in LIRA:
        for measure in ("AUC", "TPR at 0.1%", "TPR at 1%"):
            ours = figure(result, measure, attack)
            why = _why(result, attack, ours, full)
            rows.append(bench.row(attack, measure, ours, why, comparable=full, tolerance=TOLERANCE.get(measure)))
    rows += bench.rows("target", result, ["train accuracy", "test accuracy"])
    online, offline = (_auc(result, name) for name in ("lira-online-fixed", "lira-offline-fixed"))
    notes = (
        f"With one spread for all records online LiRA has an AUC of {online:.3f}, "
        f"per-record spreads {_auc(result, 'lira-online'):.3f}, offline {offline:.3f}, one threshold "
        f"{_auc(result, 'loss'):.3f}.",
    )
    return Findings(tuple(rows), (), notes)


def rmia(bench: Bench) -> Findings:
    """RMIA beside LiRA, Attack-R and Attack-P with 1, 2, 4 and more reference models that did not see the record."""
    counts = bench.pick([1], [1, 2, 4], [1, 2, 4, 127])
    full, rows, runs = _published_network(bench), [], {}
    for count in counts:
        result = bench.audit(f"{count} reference models", _study(bench, 2 * count, (*RMIA, *ONLINE), population=1000))
        runs[count] = result
        for attack in (*RMIA, *ONLINE):
            models = 2 * count if attack in ONLINE else count
            setting = f"{models} reference model{'s' if models > 1 else ''}, {attack}"
            for measure in ("AUC", "TPR at 1%", "TPR at 0.01%"):
                ours, other = figure(result, measure, attack), f"{measure}, a user's run"
                both = [measure, other] if bench.published(setting, other) else [measure]
                why = _why(result, attack, ours, full)
                rows += [bench.row(setting, m, ours, why, comparable=full) for m in both]
    series = []
    for attack in (*RMIA, *ONLINE):
        there = [(count, o) for count, run in runs.items() if (o := figure(run, "AUC", attack))]
        series.append(Series(attack, tuple(c for c, _ in there), tuple(o.value for _, o in there), *_ends(there)))
    plot = Plot("models", "AUC by reference models", "models without the record", "AUC", tuple(series), log_x=True)
    first = runs[counts[0]]
    notes = (
        f"With {counts[0]} reference model a record RMIA (offline) has an AUC of {_auc(first, 'rmia-offline'):.3f}, "
        f"Attack-R {_auc(first, 'attack-r'):.3f}, the population attack {_auc(first, 'attack-p'):.3f}.",
        "A user of the authors' code could not repeat their figures (64.7 for 71.0 with 4 reference models, 60.9 for "
        "72.25 with 254); both are shown.",
    )
    return Findings(tuple(rows), (plot,), notes)


def _study(bench: Bench, shadows: int, attacks: tuple[str, ...], population: int | None = None) -> dict[str, object]:
    """A recipe of the publications at full size on a GPU; on two cores, or smaller, a small network."""
    large = _published_network(bench)
    n = bench.pick(300, 2500, 25_000 - (population or 0) // 2)
    plain: dict[str, object] = {
        "data.members": n,
        "data.nonmembers": n,
        "data.population": population,
        "shadow.count": shadows,
        "attacks.use": list(attacks),
        "attacks.headline": attacks[0],
        "attacks.temperature": 1.0,
        "statistics.fpr": [0.01, 0.001, 0.0001],
        "model.name": "wrn-28-2" if large else "cnn",
        "training.epochs": bench.pick(3, 15, 100 if large else 40),
    }
    if not large:
        return plain | {"training.learning_rate": 0.02}
    return plain | {
        "training.learning_rate": 0.1,
        "training.batch_size": 256,
        "training.weight_decay": 5e-4,
        "training.augment": ["flip", "crop"],
        "queries": "mirror",
    }


def _published_network(bench: Bench) -> bool:
    """The publications' networks want a GPU: some 10^17 operations."""
    return bench.size == "full" and choose_device(bench.device).type == "cuda"


def _why(result: Result, attack: str, ours: Ours | None, full: bool) -> str:
    """Why there is no figure, or why it is compared with the publication at its own size alone."""
    if ours is None:
        return next((skipped.reason for skipped in result.parts.skipped if skipped.name == attack), RARE)
    return "" if full else SMALLER


def _ends(points: list[tuple[int, Ours]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    lows = tuple(o.value if o.low is None else o.low for _, o in points)
    return lows, tuple(o.value if o.high is None else o.high for _, o in points)


def _auc(result: Result, attack: str) -> float:
    return result.auc(attack).value


_DATA = (("cifar10",),)
REPRODUCTIONS = (
    Reproduction(
        "lira-16",
        "Carlini et al. 2022, tensorflow/privacy",
        "AUC and TPR at 0.1 % with 16 shadow models",
        _DATA,
        (0.5, 2, 400),
        lira_16,
    ),
    Reproduction(
        "rmia-table",
        "Zarifzadeh et al. 2024",
        "RMIA with few reference models beside LiRA, Attack-R, Attack-P",
        _DATA,
        (0.5, 3, 180_000),
        rmia,
        gpu=True,
    ),
)
