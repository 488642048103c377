"""A frontier by a Ray of this machine: how often Ray is started for all its points, and whether it is stopped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ray

import memberwise as mw

STUDY: dict[str, Any] = {"data": "digits", "members": 40, "nonmembers": 40, "shadow_models": 2}
STUDY |= {"attacks": "loss", "defences": [], "points": [{"name": "rounding", "digits": 1}]}
SETTINGS = {"training.epochs": 2, "model.hidden": [8], "plan.stack": 2, "plan.threads": 1}
SETTINGS |= {"attacks.boundary_queries": 100, "attacks.boundary_records": 10}


def main(folder: Path) -> None:
    starts, begin = [], ray.init

    def counted(**options: Any) -> Any:
        starts.append(options["address"])
        return begin(**options)

    ray.init = counted  # type: ignore[assignment]
    frontier = mw.defend(**STUDY, out=folder, settings=SETTINGS, engine="ray")
    engines = [json.loads(file.read_text())["shadow"]["engine"] for file in folder.glob("*/*/result.json")]
    print(json.dumps([starts, ray.is_initialized(), len(frontier.parts.points), engines]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
