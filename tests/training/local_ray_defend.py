"""A frontier by a Ray of this machine: how often Ray is started for all its points, and whether it is stopped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ray

import memberwise as mw

STUDY: dict[str, Any] = {"data": "digits", "members": 60, "nonmembers": 60, "shadow_models": 4}
STUDY |= {"attacks": "lira-online-fixed", "defences": ["rounding"]}
SETTINGS = {"training.epochs": 2, "model.hidden": [8], "plan.stack": 2, "plan.threads": 1}


def main(folder: Path) -> None:
    starts, begin = [], ray.init

    def counted(**options: Any) -> Any:
        starts.append(options["address"])
        return begin(**options)

    ray.init = counted
    frontiers = [
        mw.defend(**STUDY, out=folder / name, settings=SETTINGS | {"engine.name": name}) for name in ("ray", "local")
    ]
    points = [[(point.label, point.attacks) for point in frontier.parts.points] for frontier in frontiers]
    engines = [
        json.loads(file.read_text())["shadow"]["engine"] for file in (folder / "ray" / "points").glob("*/result.json")
    ]
    print(json.dumps([starts, ray.is_initialized(), points[0] == points[1], len(points[0]), engines]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
