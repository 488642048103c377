"""A built site among those of other versions: a folder each, ``latest`` and the list from which the theme lets choose.

As mike lays them out, without git: plain files for any web server, and for a folder that is opened without one.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from packaging.version import InvalidVersion, Version

LATEST, LIST = "latest", "versions.json"
# What sends the bare address to the newest version.
FIRST = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=latest/index.html">
<title>memberwise</title>
<a href="latest/index.html">The latest version</a>
</html>
"""


def check_version(version: str) -> str:
    """The version as a folder's name.

    Raises:
        ValueError: it is none, or "latest".
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", version) or version == LATEST:
        raise ValueError(f"a version such as 0.2.0 or dev is expected, not {version!r}")
    return version


def publish(built: Path, versions: Path, version: str) -> None:
    """Put a built site into the folder of all versions: a version that was there is replaced, the others stay.

    ``latest`` is a copy of the highest release; where there is none, of this version.
    """
    _replace(built, versions / check_version(version))
    names = sorted((one.name for one in versions.iterdir() if _is_version(one)), key=_order, reverse=True)
    releases = [name for name in names if _order(name)[0] == 1]
    newest = releases[0] if releases else version
    _replace(versions / newest, versions / LATEST)
    listed = [{"version": name, "title": name, "aliases": [LATEST] if name == newest else []} for name in names]
    (versions / LIST).write_text(json.dumps(listed, indent=1) + "\n", "utf-8")
    (versions / "index.html").write_text(FIRST, "utf-8")


def _is_version(folder: Path) -> bool:
    return folder.name != LATEST and (folder / "index.html").is_file()


def _order(name: str) -> tuple[int, Version]:
    """Releases by number, above them what is not released ("dev", 0.3.0rc1), the newest last."""
    try:
        version = Version(name)
    except InvalidVersion:
        return 2, Version("0")
    return (2 if version.is_prerelease else 1), version


def _replace(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
