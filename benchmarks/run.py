"""Benchmarks, all figures of one run side by side: ``make bench``, or ``python benchmarks/run.py --only mlp --quick``.

A whole run is stored in benchmarks/results; with --only or --quick figures are printed, and stored where --out says.
--data digits puts scikit-learn's digits (which need no file) in the place of MNIST and CIFAR-10: a rehearsal.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from accuracy import accuracy
from contest import contest
from limits import limits
from machine import Watch, machine, versions
from results import Section, markdown, store
from roofline import roofline
from scaling import growth, stack_sizes
from workload import Workload

from memberwise.training.plan import choose_device

RESULTS = Path(__file__).parent / "results"


def sections(quick: bool, data: str | None, device: torch.device) -> dict[str, Callable[[], Section]]:
    """What can be measured, by name; ``quick`` only shows that it runs."""
    gpu, turns = device.type == "cuda", 1 if quick else 7
    few = 128 if quick else None
    mnist, cifar = data or "mnist", data or "cifar10"
    mlp = Workload(mnist, "mlp", few or 3000, 64, 1 if quick else 5, device=device.type)
    wide = Workload(mnist, "mlp", few or 3000, 256, 1 if quick else 5, device=device.type)
    cnn = Workload(cifar, "cnn", few or 2000, 64, 1 if quick else 2, device=device.type)
    lira = Workload(mnist, "mlp", few or 3000, 64, 2 if quick else 20, "cosine", device.type)
    short = Workload(mnist, "mlp", few or 3000, 64, 1, device=device.type)
    small = Workload(mnist, "mlp", few or 1000, 64, 1 if quick else 4, device=device.type)
    growing = (64, 128, 256) if quick else (500, 1000, 2000, 4000, 8000)
    least = 2 if quick else 16
    found: dict[str, Callable[[], Section]] = {
        "limits": lambda: limits(device, quick),
        "mlp": lambda: contest(
            "MLP", mlp, turns=turns, least=least, loop=30.0 if gpu else 2.5, with_others=not gpu, quick=quick
        ),
        "roofline": lambda: roofline([mlp, wide], device, quick),
        "batch256": lambda: contest("MLP", wide, turns=turns, least=least, share=0.5, quick=quick),
        "cnn": lambda: contest(
            "CNN", cnn, turns=min(turns, 5), least=2, single=1 if quick else 2, loop=2.5, quick=quick
        ),
        "stack": lambda: stack_sizes(short, min(turns, 5)),
        "growth": lambda: growth(small, min(turns, 3), 32 if quick else 128, growing),
        "accuracy": lambda: accuracy(lira, 8 if quick else 32),
    }
    if gpu:
        for name, wanted in (("resnet9", 3.0), ("resnet18", None)):
            workload = Workload(cifar, name, few or 10_000, 256, 1, device="cuda")
            found[name] = partial(
                contest, "Residual network", workload, turns=min(turns, 3), single=2, loop=wanted, quick=quick
            )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="a section (repeatable)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    parser.add_argument("--data", help="another data source in place of MNIST and CIFAR-10")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--out", type=Path, help="folder to store results in")
    asked = parser.parse_args()
    device = choose_device(asked.device)
    available = sections(asked.quick, asked.data, device)
    unknown = sorted(set(asked.only or ()) - set(available))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(available)}")
    begun, watch, done = time.perf_counter(), Watch(), {}
    for name in asked.only or available:
        done[name] = available[name]().to_dict()
        print(markdown(done[name]), flush=True)
    run = {
        "date": str(datetime.datetime.now(datetime.UTC).date()),
        "machine": machine(),
        "versions": versions(),
        "others_share": watch.others_share(),
        "seconds": time.perf_counter() - begun,
        "quick": asked.quick,
        "sections": done,
    }
    folder = asked.out or (None if asked.quick or asked.only or asked.data else RESULTS)
    if folder:
        print(f"stored: {store(folder, run)}")
    share = run["others_share"]
    busy = "an unknown share" if share is None else f"{share:.0%}"
    print(f"{run['seconds']:.0f} s; other processes had {busy} of the processors' time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
