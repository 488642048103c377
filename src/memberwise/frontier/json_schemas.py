"""The published JSON Schemas as files: ``python -m memberwise.frontier.json_schemas docs``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from memberwise.frontier.schema import frontier_schema
from memberwise.report.schema import result_schema
from memberwise.screening.schema import screen_schema
from memberwise.store.files import write_text

FILES = {
    "result.schema.json": result_schema,
    "frontier.schema.json": frontier_schema,
    "screen.schema.json": screen_schema,
}


def write_schemas(folder: Path) -> None:
    """Write them anew."""
    for name, schema in FILES.items():
        write_text(folder / name, json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
