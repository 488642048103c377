"""``memberwise reproduce``: published tables, repeated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memberwise.cli import options
from memberwise.cli.guard import guarded, to_stdout
from memberwise.cli.outcome import print_json, show
from memberwise.types.parts import Plain

if TYPE_CHECKING:
    from memberwise.reproduce.claim import Claim
    from memberwise.reproduce.reproduction import Size

FAILED = 1


def reproduce(
    name: Annotated[str | None, typer.Argument(help="Which; see --list.", show_default=False)] = None,
    list_all: Annotated[bool, typer.Option("--list", help="All of them: data, time, GPU or not.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Under a minute: does it run?")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Some ten minutes a seed (the default).")] = False,
    full: Annotated[bool, typer.Option("--full", help="The publication's size.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="The first seed, root of a run's random numbers.")] = 1,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=1, help="How many (3; a smoke test 1): means and spread.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    engine: options.Engine = None,
    ray_address: options.RayAddress = None,
    out: Annotated[str | None, typer.Option("--out", help="Folder of the run.", show_default=False)] = None,
    join: Annotated[
        list[str] | None,
        typer.Option(
            "--join", help="A claim of one further seed, run before or elsewhere; repeatable.", show_default=False
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option("--keep", help="Keep the claim file in this folder and renew its page.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the claim file alone.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks.")] = False,
) -> None:
    """Repeat a published table: our figures beside the published ones, with intervals and the reason where they differ.

    The same command again continues where it stopped. Exit code 1: a figure lies outside its stated tolerance, or
    a condition without which figures mean nothing does not hold.
    """
    with guarded(debug, resume_hint="the same command continues where it stopped"):
        if list_all:
            _list(json)
            return
        size = _size(name, smoke=smoke, quick=quick, full=full)
        where = options.flags({"engine": engine, "ray_address": ray_address})
        choices: Plain = {"seeds": _seeds(seed, seeds, size), "device": device, "engine": where, "out": out}
        choices["others"] = _claims(join or [])
        _run(str(name), size, choices, keep, json, quiet)


def _size(name: str | None, **flags: bool) -> Size:
    """The one size asked for; quick where none is.

    Raises:
        StudyError: no name, or two sizes.
    """
    from memberwise.errors import StudyError
    from memberwise.reproduce.reproduction import SIZES

    if name is None:
        raise StudyError("which table?", expected="a name", fix="memberwise reproduce --list")
    sizes = [size for size in SIZES if flags[size]]
    if len(sizes) > 1:
        raise StudyError("one size at a time", found=" ".join(f"--{size}" for size in sizes))
    return sizes[0] if sizes else "quick"


def _seeds(first: int, count: int | None, size: Size) -> tuple[int, ...]:
    from memberwise.reproduce.flow import SEEDS

    return tuple(range(first, first + (count or len(SEEDS[size]))))


def _claims(files: list[str]) -> list[Claim]:
    """Claim files, by path or by the folder that holds one."""
    from memberwise.reproduce.claim import Claim
    from memberwise.reproduce.flow import CLAIM

    return [Claim.load(path / CLAIM if path.is_dir() else path) for path in map(Path, files)]


def _run(name: str, size: Size, choices: Plain, keep: str | None, json: bool, quiet: bool) -> None:
    from memberwise.reproduce.registry import find_reproduction

    reproduction = find_reproduction(name)

    from rich.console import Console

    from memberwise.cli.progress import Bar
    from memberwise.reproduce.flow import run_reproduction
    from memberwise.signals.progress import Silent

    silent, errors = quiet or json, Console(stderr=True)

    def announce(label: str) -> None:
        if not silent:
            errors.print(label, highlight=False, markup=False)

    progress = Silent() if silent else Bar()
    claim, folder = run_reproduction(reproduction, size, **choices, progress=progress, announce=announce)
    if json:
        to_stdout((folder / "claim.json").read_text("utf-8"))
    else:
        from memberwise.reproduce.terminal import print_claim

        show(claim, print_claim, f"Claim: {folder}/claim.json")
    if keep is not None:
        from memberwise.reproduce.page import keep as keep_claim

        keep_claim(claim, folder, Path(keep))
    if claim.failed:
        raise typer.Exit(FAILED)


def _list(json: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from memberwise.data.catalogue import SOURCES
    from memberwise.data.fetch import at_hand
    from memberwise.reproduce.registry import REPRODUCTIONS
    from memberwise.reproduce.reproduction import SIZES

    rows: list[Plain] = [
        {
            "name": r.name,
            "from": r.origin,
            "compares": r.title,
            "data": [list(options) for options in r.data],
            "here": all(any(at_hand(SOURCES[name]) for name in options) for options in r.data),
            "minutes": dict(zip(SIZES, r.minutes, strict=True)),
            "gpu": r.gpu,
        }
        for r in REPRODUCTIONS.values()
    ]
    if json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("name", "smoke", "quick", "full"):
        table.add_column(heading, no_wrap=True, justify="left" if heading == "name" else "right")
    table.add_column("what is compared")
    for row in rows:
        data = ", ".join(" else ".join(options) for options in row["data"])
        wants = f"{row['from']}; {data}" + ("; wants a GPU" if row["gpu"] else "")
        wants += "" if row["here"] else "; data not here"
        times = [_minutes(minutes) for minutes in row["minutes"].values()]
        table.add_row(row["name"], *times, Text(row["compares"]).append(f"\n{wants}", "dim"))
    console = Console()
    console.print(table)
    console.print("Times are on 2 cores, for each seed.", highlight=False)


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"
