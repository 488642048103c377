"""CONTRIBUTING.md beside the code: its picture's arrows are imports, its table has every room, its files exist."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import memberwise

ROOT = Path(memberwise.__file__).parent
REPOSITORY = Path(__file__).parents[1]
TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
ROOMS = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"api"}


def imports() -> set[tuple[str, str]]:
    """(importing room, imported room), imports for types alone included."""
    pairs = set()
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("memberwise."):
                pairs.add((room, str(node.module).split(".")[1]))
    return pairs


@pytest.mark.slow
def test_every_arrow_of_the_picture_is_an_import() -> None:
    arrows = set(re.findall(r"^ +(\w+) --> (\w+)$", TEXT, re.MULTILINE))
    assert len(arrows) > 20
    assert arrows - imports() == set()


def test_every_room_is_in_the_table_once() -> None:
    table = re.findall(r"^\| `([^|]+)` \|", TEXT.split("## What can be added")[0], re.MULTILINE)
    names = [name.strip("`/").removesuffix(".py") for row in table for name in row.split("`, `")]
    assert len(names) == len(set(names))
    assert set(names) >= ROOMS
    assert set(names) - ROOMS <= {"errors", "seeds", "registry"}


def test_table_is_in_the_order_of_the_import_rule() -> None:
    rules = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = reversed([re.findall(r"\w+", layer) for layer in rules[0]["layers"]])
    table = re.findall(r"^\| `([^|]+)` \|", TEXT.split("## What can be added")[0], re.MULTILINE)
    names = [name.strip("`/").removesuffix(".py") for row in table for name in row.split("`, `")]
    assert names == [
        name for layer in layers for name in (layer if len(layer) == 1 else sorted(layer, key=names.index))
    ]


def test_files_that_additions_touch_exist() -> None:
    rows = [row for row in TEXT.split("## What can be added")[1].splitlines() if row.startswith("| a")]
    assert len(rows) == 13
    for row in rows:
        for name in re.findall(r"`([a-z_/]+(?:/|\.py))`", row):
            assert (ROOT / name).exists(), name
