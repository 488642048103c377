"""The pages hold: snippets of the start and the guides run, all other commands and programs at least parse."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joblib.externals.loky import get_reusable_executor
from typer.main import get_command

import memberwise
from memberwise.cli.main import app
from memberwise.study.reading import make_study

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]
RUN = [page for page in PAGES if page.parent.name in ("start", "guides")]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A test has time for fewer than a reader.
MODELS = re.compile(r"(shadow[-_]models[ =]|count = )(?:[5-9]|[0-9]{2,})\b")
NAMED = re.compile(r"# ([\w.-]+\.(?:py|toml))\n")
# What a snippet needs beside the package.
NEEDS = {"boosting": "xgboost", "onnx": "skl2onnx", "released-model": "onnx"}


def snippets(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of a page's fences, in order."""
    return ((language, text) for language, text in FENCE.findall(page.read_text("utf-8")))


def lines_of(text: str) -> Iterator[list[str]]:
    """The words of each command; a comment at its end is the reader's."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def run_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if words[0] == "python":
        runpy.run_path(words[1], run_name="__main__")
        return
    assert words[0] == "memberwise", words
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as done:
        app()
    assert done.value.code in ((0, 1, 3) if "exit code" in words else (0, None)), " ".join(words)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # a reader's programs may warn; what they say is not judged here
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_page_runs_from_its_first_snippet_to_its_last(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (package := NEEDS.get(page.stem)) and importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    get_reusable_executor().shutdown()  # workers that know this page's folder
    names: dict[str, Any] = {"__name__": "page"}
    files = set()
    for language, snippet in snippets(page):
        text = MODELS.sub(r"\g<1>4", snippet)
        if named := NAMED.match(text):
            (tmp_path / named[1]).write_text(text, "utf-8")
            files.add(Path(named[1]).stem)
        elif language == "python":
            exec(compile(text, str(page), "exec"), names)
        elif language == "bash":
            for words in lines_of(text):
                run_command(words, monkeypatch)
    for name in files:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_snippets_parse(page: Path) -> None:
    """Commands by the command line itself, studies by the schema, programs by Python."""
    text = page.read_text("utf-8")
    for language, snippet in FENCE.findall(text):
        if language == "python":
            compile(snippet, str(page), "exec")
        elif language == "toml" and page in RUN:
            make_study(tomllib.loads(snippet), page.name)
    for block in re.findall(r"^```(?:bash)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if re.match(r"memberwise [a-z-]", line) and "[" not in line.split("#")[0].replace("hidden=[", ""):
                parse(shlex.split(re.split(r"\s(?:>|>>|\|)\s", line)[0], comments=True)[1:])


def parse(words: list[str]) -> None:
    command: Any = get_command(app)
    context = command.make_context("memberwise", list(words[:1]), resilient_parsing=True)
    while hasattr(command, "get_command") and words:
        found = command.get_command(context, words[0])
        assert found is not None or command.name == "evidence", f"no verb {words[0]}"
        if found is None:  # a run folder, in place of a verb
            break
        command, words = found, words[1:]
    command.make_context(command.name, list(words))


def test_readme_is_one_screen() -> None:
    text = (REPOSITORY / "README.md").read_text("utf-8")
    assert len(text) < 4000
    assert "download.pytorch.org/whl/cpu" in text.split("memberwise audit")[0], "CUDA is what the first line avoids"
    assert (DOCS / "report.png").stat().st_size < 300_000


def test_every_page_is_on_the_site_once() -> None:
    nav = re.findall(r'= "([\w/.-]+\.md)"', (DOCS / "site" / "zensical.toml").read_text("utf-8"))
    assert len(nav) == len(set(nav))
    assert set(nav) >= {page.relative_to(REPOSITORY).as_posix() for page in DOCS.rglob("*.md")}


def test_links_to_headings_lead_to_one() -> None:
    """The site's build says so too, but takes a minute."""
    for page in [*DOCS.rglob("*.md"), *REPOSITORY.glob("*.md")]:
        for link, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text("utf-8")):
            target = (page.parent / link).resolve() if link else page
            text = re.sub(r"^```.*?^```", "", target.read_text("utf-8"), flags=re.S | re.M)
            if target.suffix != ".md" or "<!-- generated:" in text:
                continue
            headings = [slug(one) for one in re.findall(r"^#+ (.*)$", text, re.M)]
            assert anchor in headings, f"{page.name}: {link}#{anchor}"


def slug(heading: str) -> str:
    """A heading's anchor, as forges and the site make it."""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower().strip()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def test_versions_of_the_site_lie_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS / "site")
    import versions  # type: ignore[import-not-found]

    built, site = tmp_path / "public", tmp_path / "versions"
    built.mkdir()
    for version in ("0.9.0", "0.10.0", "dev", "0.11.0rc1", "0.9.0"):
        (built / "index.html").write_text(f"of {version}, {len(list(site.glob('*')))}", "utf-8")
        versions.publish(built, site, version)
    listed = json.loads((site / "versions.json").read_text("utf-8"))
    assert [one["version"] for one in listed] == ["0.11.0rc1", "dev", "0.10.0", "0.9.0"]
    assert [one["version"] for one in listed if one["aliases"]] == ["0.10.0"]
    assert (site / "latest" / "index.html").read_bytes() == (site / "0.10.0" / "index.html").read_bytes()
    assert (site / "0.9.0" / "index.html").read_text("utf-8").startswith("of 0.9.0, 7")  # built again
    assert "latest/index.html" in (site / "index.html").read_text("utf-8")
    for wrong in ("latest", "../0.2.0", "", "a/b"):
        with pytest.raises(ValueError, match="is expected"):
            versions.check_version(wrong)


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zensical")
    monkeypatch.syspath_prepend(DOCS / "site")
    import build  # type: ignore[import-not-found]

    assert build.build(tmp_path) == 0
    page = (tmp_path / "public" / "docs" / "reference" / "python.html").read_text("utf-8")
    assert all(f'id="memberwise.{name}"' in page for name in memberwise.__all__ if name != "__version__")
    outside = re.compile(r'<(?:link|script|img)[^>]*(?:href|src)="https?://')
    assert not [path for path in (tmp_path / "public").rglob("*.html") if outside.search(path.read_text("utf-8"))]


def test_every_dependency_has_a_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS / "site")
    import reference  # type: ignore[import-not-found]

    page = reference.licences()
    assert page.count("\n") > 80
    assert "not stated" not in page
    assert re.search(r"^\| `torch` \| >=[\d.]+ \| always \| \S*BSD-3-Clause|BSD", page, re.MULTILINE)
