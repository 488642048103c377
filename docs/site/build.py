"""The documentation's site: ``python docs/site/build.py [FOLDER]`` lays out its pages and has zensical build them.

It lies in ``FOLDER/public``; with ``--version 0.2.0`` also beside those of other versions, in ``FOLDER/versions`` or
where ``--versions`` says (``versions.py``).

The repository's pages keep their places, so that every link holds both there and on the site. Where a page has a line
``<!-- generated: NAME -->``, what ``reference.py`` says of the code goes there. Whatever a page links to comes along.
A warning is an error.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from reference import PARTS
from versions import check_version, publish

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
TOP = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)|<img[^>]* src=\"([^\":]+)\"")
GENERATED = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)


def pages() -> dict[Path, str]:
    """Every page by its place, relative to the repository; the README is the first page."""
    files = [*(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / name for name in TOP)]
    texts = {path.relative_to(REPOSITORY): path.read_text("utf-8") for path in sorted(files)}
    texts = {place: GENERATED.sub(lambda found: PARTS[found[1]](), text) for place, text in texts.items()}
    return {Path("index.md"): (REPOSITORY / "README.md").read_text("utf-8"), **texts}


def linked(texts: dict[Path, str]) -> set[Path]:
    """The files that pages link to and that are no pages themselves.

    Raises:
        FileNotFoundError: there is no such file.
    """
    found = set()
    for place, text in texts.items():
        for link in (one or other for one, other in LINK.findall(re.sub(r"```.*?```|`[^`\n]+`", "", text, flags=re.S))):
            target = (REPOSITORY / place.parent / link).resolve()
            if not target.is_file():
                raise FileNotFoundError(f"{place} links to {link}, which is no file")
            found.add(target.relative_to(REPOSITORY))
    return found - set(texts)


def lay_out(folder: Path, version: str | None = None) -> None:
    """All that zensical reads, made anew; of a version, with a list of the others to choose from."""
    shutil.rmtree(folder / "pages", ignore_errors=True)
    texts = pages()
    for place, text in texts.items():
        (folder / "pages" / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pages" / place).write_text(text, "utf-8")
    for place in linked(texts) | {Path("docs/site/extra.css"), Path("docs/site/extra.js")}:
        (folder / "pages" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / place, folder / "pages" / place)
    config = (HERE / "zensical.toml").read_text("utf-8")
    config = config.replace('"../src"', f'"{REPOSITORY / "src"}"')
    if version is not None:
        config += '\n[project.extra.version]\nprovider = "mike"\n'
    (folder / "zensical.toml").write_text(config, "utf-8")


def build(folder: Path, version: str | None = None) -> int:
    """Exit code of zensical; the site lies in ``public``."""
    lay_out(folder, version)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, check=False).returncode


def main() -> int:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="Build the documentation's site.")
    parser.add_argument("folder", nargs="?", default=".site", type=Path)
    parser.add_argument("--version", type=check_version, help="publish it as this version, such as 0.2.0 or dev")
    parser.add_argument("--versions", type=Path, help="the folder of all versions; FOLDER/versions if not given")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    code = build(folder, asked.version)
    if code == 0 and asked.version is not None:
        publish(folder / "public", asked.versions or folder / "versions", asked.version)
    return code


if __name__ == "__main__":
    sys.exit(main())
