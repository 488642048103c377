"""How long output defences take for a million answers over ten classes, and MemGuard for one.

``python benchmarks/output_defences.py [--answers 1000000] [--features 64] [--defences a,b]``: the model's own time is
not in it (its answers are there already). Prints wall-clock and processor seconds of each defence; MemGuard's rate is
measured on 4,000 answers, LDL with one copy.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from attack_speed import peak_mb
from machine import Watch

from memberwise.defences.output.bounded import BoundedDefence
from memberwise.defences.output.registry import OUTPUT_DEFENCES
from memberwise.defences.output.served import DefendedTarget
from memberwise.targets.models import FunctionModels

CLASSES, CHUNK = 10, 100_000
GUARDED = 4_000
# Those with a bound answer from an ensemble.
ALONE = [name for name, defence in OUTPUT_DEFENCES.items() if not issubclass(defence, BoundedDefence)]
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "logit-clipping": [{}, {"mode": "rescale"}],
    "image-noise": [{}, {"draw": "pixel"}, {"draw": "pixel", "keyed": False}],
    "gaussian-noise": [{}, {"keyed": False}],
    "dynanoise": [{}, {"keyed": False}],
    "hamp": [{}, {"keyed": False}],
    "confidence-noise": [{}, {"keyed": False}, {"on": "probabilities", "keep_label": True}],
    "memguard": [{"epochs": 20}],
    "ldl": [{"copies": 1}, {"copies": 1, "keyed": False}],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--defences", default=",".join(ALONE))
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.random((given.answers, given.features), np.float32).reshape(given.answers, -1, 1)
    logits = rng.normal(size=(CHUNK, CLASSES))
    logits[np.arange(CHUNK), rng.integers(0, CLASSES, CHUNK)] += rng.choice([3.0, 9.0], CHUNK)
    models = FunctionModels([lambda asked: logits[: len(asked)]], "logits")
    for name in given.defences.split(","):
        for parameters in VARIANTS.get(name, [{}]):
            defence, watch = OUTPUT_DEFENCES[name](**parameters), Watch()
            behind = DefendedTarget.fitted(models, [defence], lambda i: x[:2_000], x[-2_000:], b"key", [0])
            asked = x[:GUARDED] if name == "memguard" else x
            wall, processor = time.perf_counter(), time.process_time()
            for first in range(0, len(asked), CHUNK):
                behind.predict(asked[first : first + CHUNK])
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            words = " ".join([name, *(f"{key}={value}" for key, value in parameters.items())])
            print(
                f"{words:55} {wall:7.2f} s, {processor:7.2f} s of processor; {len(asked) / processor:12,.0f} a second; "
                f"others had {watch.others_share() or 0:.0%}; peak {peak_mb():,.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
