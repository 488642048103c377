"""``memberwise list``: what there is, and what each needs."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memberwise.cli.guard import guarded

if TYPE_CHECKING:
    from rich.console import Group

# On a narrower terminal a table of more columns, or of wider ones between the first and the last, is not legible.
WIDE, COLUMNS, BETWEEN = 110, 3, 16


class Kind(StrEnum):
    """What can be listed."""

    attacks = "attacks"
    defences = "defences"
    data = "data"
    models = "models"


def listing(
    kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)],
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks.")] = False,
) -> None:
    """List attacks, defences, data or models, with the access or records each needs."""
    with guarded(debug):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        headings, rows = listed(kind)
        more, problems = _plugins(kind, len(headings))
        rows += more
        console = Console()
        between = max((len(cell) for row in rows for cell in row[1:-1]), default=0)
        if console.width < WIDE and (len(headings) > COLUMNS or between > BETWEEN):
            for row in rows:
                console.print(_stacked(headings, row))
        else:
            table = Table(box=None, pad_edge=False)
            for place, heading in enumerate(headings):
                table.add_column(heading, overflow="fold", no_wrap=place == 0)
            for row in rows:
                table.add_row(*(Text(cell) for cell in row))
            console.print(table)
        for problem in problems:
            typer.echo(f"memberwise: {problem}", err=True)


Table = tuple[list[str], list[list[str]]]


def listed(kind: str) -> Table:
    """Headings and rows of what the package brings, of one kind."""
    return {"attacks": _attacks, "defences": _defences, "data": _data, "models": _models}[kind]()


def _stacked(headings: list[str], row: list[str]) -> Group:
    """A thing below another: its name, then what its columns say, each after its heading."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    cells = zip(headings[1:], row[1:], strict=True)
    said = [(heading, cell) for heading, cell in cells if cell not in ("", "-")]
    first = " ".join(cell for heading, cell in said if heading.startswith("what it"))
    rest = "; ".join(f"{heading}: {cell}" for heading, cell in said if not heading.startswith("what it"))
    return Group(Text(row[0], style="bold"), Padding(Text(f"{first}\n({rest})"), (0, 0, 0, 4)))


def _attacks() -> Table:
    from memberwise.attacks import ATTACKS

    rows = [[a.name, ", ".join(a.needs.words()), a.summary] for a in ATTACKS.values()]
    return ["attack", "needs", "what it does"], rows


def _defences() -> Table:
    from memberwise.defences.output.registry import OUTPUT_DEFENCES
    from memberwise.defences.training.registry import TRAINING_DEFENCES
    from memberwise.frontier.points import ANSWER

    rows = [
        [d.name, "in training", ", ".join(d.roles) or "-", d.guarantee, _told(d.name, d.summary, d.reported)]
        for d in TRAINING_DEFENCES.values()
    ]
    for name, output in OUTPUT_DEFENCES.items():
        needs = ", ".join(output.roles) or "-"
        label = f"{ANSWER}{name}" if name in TRAINING_DEFENCES else name
        rows.append([name, "in the answer", needs, "-", _told(label, (output.__doc__ or "").split("\n")[0])])
    return ["defence", "where", "records", "guarantee", "what it does"], rows


def _told(name: str, summary: str, reported: str = "") -> str:
    """What it does, after a mark where it was measured to raise leakage; what was reported beside what was measured."""
    from memberwise.defences.measured import measured, raised_leakage

    raised = "; ".join(one.words() for one in raised_leakage(name))
    mark = f"RAISED LEAKAGE where measured: {raised}. " if raised else ""
    if not reported:
        return mark + summary
    here = "; ".join(one.words() for one in measured(name)) or "nothing"
    return f"{mark}{summary} Reported: {reported}; measured here: {here}."


def _data() -> Table:
    from memberwise.data import SOURCES

    rows = [[s.name, s.records, str(s.classes), s.summary, s.needs] for s in SOURCES.values()]
    return ["source", "records", "classes", "what it is", "needs"], rows


def _models() -> Table:
    from memberwise.models.modules import ARCHITECTURES

    rows = [[name, a.records, a.summary] for name, a in ARCHITECTURES.items()]
    rows.append(["file.py:function", "yours", "a function that makes an nn.Module or a scikit-learn classifier"])
    rows.append(["module:Class", "yours", "a class, such as sklearn.ensemble:RandomForestClassifier"])
    return ["model", "records", "what it is"], rows


def _plugins(kind: Kind, columns: int) -> tuple[list[list[str]], list[str]]:
    """Table of what installed packages bring, and of what of it cannot be had, why."""
    from memberwise.attacks import ATTACKS, Attack
    from memberwise.data import SOURCES
    from memberwise.defences.output.registry import OUTPUT_DEFENCES
    from memberwise.defences.training.registry import TRAINING_DEFENCES
    from memberwise.models.modules import ARCHITECTURES
    from memberwise.registry import Registry

    registries: dict[Kind, list[Registry[Any]]] = {
        Kind.attacks: [ATTACKS],
        Kind.defences: [TRAINING_DEFENCES, OUTPUT_DEFENCES],
        Kind.data: [SOURCES],
        Kind.models: [ARCHITECTURES],
    }
    rows: list[list[str]] = []
    problems: list[str] = []
    for registry in registries[kind]:
        things, failures = registry.plugins()
        problems += failures
        for name, thing in things.items():
            blank = ["-"] * (columns - 2)
            needs = [", ".join(thing.needs.words())] if isinstance(thing, Attack) else blank
            summary = str(getattr(thing, "summary", "") or (getattr(thing, "__doc__", None) or "").split("\n")[0])
            rows.append([name, *needs, f"{summary} (an installed plug-in)".strip()])
    return rows, problems
