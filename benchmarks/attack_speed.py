"""How long the score-only attacks take, thresholds and intervals included, and how much memory.

``python benchmarks/attack_speed.py [--records 50000] [--models 256] [--mapped] [--attacks a,b]``: random answers of
shadow models in pairs, 5,000 population records, 600 features a record; prints a line an attack and the total.
``--attacks learned`` times that one. ``--mapped`` keeps the shadow models' answers in
files that are mapped into memory.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import Watch
from numpy.typing import NDArray

from memberwise.assess.figures import attack_figures
from memberwise.attacks import ATTACKS, Attack, run_attacks, shadow_scores
from memberwise.seeds import Seeds
from memberwise.signals.table import Answers, Signals
from memberwise.statistics import auto_fprs

POPULATION, FEATURES, CLASSES = 5000, 600, 100


def score_only() -> list[Attack]:
    """Attacks that read nothing but the true class's probabilities, labels and records, and train no attack model."""
    plain = {"answers": "scores", "vectors": False, "shadow_vectors": False, "extra": None, "known": False}
    return [
        attack
        for attack in ATTACKS.values()
        if not attack.name.startswith("learned")
        and all(getattr(attack.needs, name, default) == default for name, default in plain.items())
    ]


def answers(rng: np.random.Generator, inside: NDArray[np.bool_], level: NDArray[np.float32], folder: Path) -> Answers:
    """phi ~ N(level + 1 where the model trained on the record, 1), written model by model."""
    shape = (*inside.shape, 1)
    name = f"{len(inside)}-{inside.shape[1]}-{rng.integers(2**31)}"
    logs = [
        np.lib.format.open_memmap(folder / f"{name}-{k}.npy", mode="w+", dtype=np.float32, shape=shape) for k in (0, 1)
    ]
    correct = np.empty(shape, bool)
    for k, row in enumerate(inside):
        phi = level + row + rng.standard_normal(len(row), np.float32)
        correct[k, :, 0] = phi > 0
        for log, signed in zip(logs, (phi, -phi), strict=True):
            log[k, :, 0] = -np.logaddexp(0, -signed)
    return Answers(logs[0], logs[1], correct)


def in_memory(of: Answers) -> Answers:
    return replace(of, log_p=np.array(of.log_p), log_1mp=np.array(of.log_1mp))


def made_up(records: int, models: int, folder: Path) -> tuple[Signals, NDArray[np.bool_]]:
    """A table of signals, and who the members are."""
    rng = np.random.default_rng(0)
    member = rng.random(records) < 0.5
    trained_on = np.empty((models, records), np.int8)
    for k in range(0, models, 2):
        trained_on[k] = rng.permutation(records) < records // 2
        trained_on[k + 1] = 1 - trained_on[k]
    level, others = rng.standard_normal(records, np.float32), rng.standard_normal(POPULATION, np.float32)
    nobody = np.zeros((models, POPULATION), bool)
    signals = Signals(
        index=np.arange(records),
        labels=rng.integers(0, CLASSES, records),
        target=answers(rng, member[None], level, folder),
        shadows=answers(rng, trained_on == 1, level, folder),
        trained_on=trained_on,
        population_target=answers(rng, nobody[:1], others, folder),
        population_shadows=answers(rng, nobody, others, folder),
        population_labels=rng.integers(0, CLASSES, POPULATION),
        population_index=np.arange(records, records + POPULATION),
        features=rng.integers(0, 2, (records + POPULATION, FEATURES), np.uint8),
    )
    return signals, member


def peak_mb() -> float:
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--models", type=int, default=256)
    parser.add_argument("--mapped", action="store_true")
    parser.add_argument("--attacks", default="")
    given = parser.parse_args()
    attacks = [ATTACKS[name] for name in given.attacks.split(",")] if given.attacks else score_only()
    with tempfile.TemporaryDirectory() as folder:
        signals, member = made_up(given.records, given.models, Path(folder))
        if not given.mapped:
            shadows = None if signals.shadows is None else in_memory(signals.shadows)
            signals = replace(signals, target=in_memory(signals.target), shadows=shadows)
        fprs, seeds = auto_fprs(int((~member).sum())), Seeds(0)
        watch, before, start, busy = Watch(), peak_mb(), time.perf_counter(), time.process_time()
        everywhere = np.ones(len(member), bool)
        found, skipped = attack_figures(signals, member, everywhere, attacks, fprs, 0.95, seeds)
        whole, busy = time.perf_counter() - start, time.process_time() - busy
        for name, evaluated in found.items():
            figures = evaluated.figures
            auc = float("nan") if figures.auc is None else figures.auc.value
            print(f"{name:20} {figures.seconds:7.2f} s on the target   AUC {auc:.4f}")
        start = time.perf_counter()
        run_attacks(replace(signals), attacks, seeds)
        on_target = time.perf_counter() - start
        start = time.perf_counter()
        shadow_scores(signals, [a for a in attacks if a.threshold == "chosen"], seeds)
        on_shadows = time.perf_counter() - start
    print(f"{given.records:,} records, {given.models} shadow models, {len(found)} attacks, skipped: {skipped}")
    print(f"all figures {whole:.1f} s, {busy:.1f} s of processor time")
    print(f"once more: scores {on_target:.1f} s, stand-ins for thresholds {on_shadows:.1f} s")
    print(f"peak memory {peak_mb():,.0f} MB, {before:,.0f} MB of it before the attacks")
    print(f"others had {watch.others_share():.0%} of the processors")


if __name__ == "__main__":
    main()
