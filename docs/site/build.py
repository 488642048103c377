"""The documentation's site: ``python docs/site/build.py [FOLDER]`` lays out its pages and has zensical build them.

The repository's pages keep their places, so that every link holds both there and on the site. Where a page has a line
``<!-- generated: NAME -->``, what ``reference.py`` says of the code goes there. Whatever a page links to comes along.
A warning is an error.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from reference import PARTS

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


def lay_out(folder: Path) -> None:
    """All that zensical reads, in a folder that is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    texts = pages()
    for place, text in texts.items():
        (folder / "pages" / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pages" / place).write_text(text, "utf-8")
    for place in linked(texts) | {Path("docs/site/extra.css")}:
        (folder / "pages" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / place, folder / "pages" / place)
    config = (HERE / "zensical.toml").read_text("utf-8")
    (folder / "zensical.toml").write_text(config.replace('"../src"', f'"{REPOSITORY / "src"}"'), "utf-8")


def build(folder: Path) -> int:
    """Exit code of zensical; the site lies in ``public``."""
    lay_out(folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else ".site").resolve()))
