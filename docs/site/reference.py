"""What the reference says of the code: the command line, the study's keys, result.json, exit codes, names, licences.

``python docs/site/reference.py PART`` prints one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

REPOSITORY = Path(__file__).parents[2]


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars, angles and line ends in cells do no harm."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def code(text: str) -> str:
    """In ticks; nothing where there is nothing."""
    return f"`{text}`" if text else ""


def escaped(text: str) -> str:
    """Prose without HTML."""
    return text.replace("<", "&lt;")


def command_line() -> str:
    """Every verb with its arguments and options, as ``--help`` has them."""
    from typer.main import get_command

    from memberwise.cli.main import app

    return "\n\n".join(_verbs(get_command(app), "memberwise"))


def _verbs(command: Any, name: str) -> Iterator[str]:
    subcommands = getattr(command, "commands", None)
    if subcommands is not None and name.count(" ") == 0:
        for one, sub in subcommands.items():
            yield from _verbs(sub, f"{name} {one}")
        return
    yield f"## `{name}`\n\n{escaped(command.help or '')}" if name.count(" ") == 1 else f"### `{name}`\n\n{command.help}"
    rows = []
    for parameter in command.params:
        argument = parameter.param_type_name == "argument"
        names = code(parameter.name.upper()) if argument else ", ".join(code(one) for one in parameter.opts)
        default = parameter.default
        plain = isinstance(default, (str, int, float)) and not isinstance(default, bool) and default != ""
        rows.append([names, escaped(parameter.help or ""), code(str(default)) if plain else ""])
    if rows:
        yield table(["argument or option", "what", "default"], rows)
    for one, sub in (subcommands or {}).items():
        yield from _verbs(sub, f"{name} {one}")


def study_keys() -> str:
    """Every key of a study: its type, its default, its flag, what it is."""
    from memberwise.study.flags import FLAGS
    from memberwise.study.schema import Study

    helped = {one.name: one.help or "" for verb in ("defend", "audit") for one in _command(verb).params}
    flags = {flag.key: (f"--{name.replace('_', '-')}", helped.get(name, "")) for name, flag in FLAGS.items()}
    return "\n\n".join(_tables(Study, "", flags))


def _command(verb: str) -> Any:
    from typer.main import get_command

    from memberwise.cli.main import app

    group: Any = get_command(app)
    return group.commands[verb]


def _tables(part: type[BaseModel], prefix: str, flags: dict[str, tuple[str, str]]) -> Iterator[str]:
    rows, below = [], []
    told = _told(part)
    for name, field in part.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            below.append((kind, f"{prefix}{name}"))
            continue
        default = field.get_default(call_default_factory=True)
        shown = "" if default is None or default is PydanticUndefined else _toml(default)
        flag, helped = flags.get(f"{prefix}{name}", ("", ""))
        what = told.get(name) or escaped(helped)
        rows.append([code(f"{prefix}{name}"), code(_words(part, name)), code(shown), code(flag), what])
    if prefix:
        yield f"{'##' if prefix.count('.') == 1 else '###'} `[{prefix[:-1]}]`"
        yield escaped((part.__doc__ or "").split("\n\n")[0])
    else:
        yield "## At the top"
    if rows:
        yield table(["key", "values", "default", "flag", "what"], rows)
    for kind, name in below:
        yield from _tables(kind, f"{name}.", flags)


def _toml(value: Any) -> str:
    """A default as it would be written."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return str(value)


def _words(part: type[BaseModel], name: str) -> str:
    """What a key may be, by its JSON Schema."""
    schema = part.model_json_schema()
    return _kind(schema["properties"][name], schema.get("$defs", {}))


RANGES = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def _kind(schema: dict[str, Any], parts: dict[str, Any]) -> str:
    if "anyOf" in schema:
        kinds = [_kind(one, parts) for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema or "const" in schema:
        return " or ".join(
            f'"{one}"' if isinstance(one, str) else str(one) for one in schema.get("enum", [schema.get("const")])
        )
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array":
        items = schema.get("items") or next(iter(schema.get("prefixItems", [])), {})
        return f"list of {_kind(items, parts)}"
    if schema.get("type") == "object":
        return "table"
    ends = [f"{sign} {schema[key]:g}" for key, sign in RANGES.items() if key in schema and abs(schema[key]) < 1e12]
    return ", ".join(
        [
            {"integer": "whole number", "string": "text", "boolean": "true or false"}.get(
                schema.get("type", ""), schema.get("type", "any value")
            ),
            *ends,
        ]
    )


def _told(part: type[BaseModel]) -> dict[str, str]:
    """What the docstring says of single keys: ``name: what.`` or ``name, name: what.``."""
    text = " ".join(" ".join((part.__doc__ or "").split("\n\n")[1:]).split())
    names = "|".join(part.model_fields)
    found = re.split(rf"(?:^|(?<=[.;)]) )((?:(?:{names})(?:, )?)+): ", text)
    pairs = zip(found[1::2], found[2::2], strict=True)
    return {name: escaped(what.strip()) for keys, what in pairs for name in keys.split(", ")}


def result_json() -> str:
    """The tables of result.json's JSON Schema."""
    from memberwise.report.schema import result_schema

    schema = result_schema()
    parts = schema["$defs"]
    whole = ["## The whole\n\n" + _fields(schema, parts)]
    return "\n\n".join(
        whole
        + [
            f"## {name}\n\n{escaped(part.get('description', ''))}\n\n{_fields(part, parts)}"
            for name, part in parts.items()
        ]
    )


def _fields(part: dict[str, Any], parts: dict[str, Any]) -> str:
    needed = set(part.get("required", []))
    rows = [
        [code(name), _typed(one, parts), "" if name in needed else "not always"]
        for name, one in part["properties"].items()
    ]
    return table(["key", "value", ""], rows)


def _typed(schema: dict[str, Any], parts: dict[str, Any]) -> str:
    """The type of a value, with a link where it is a part."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_typed(one, parts) for one in schema["anyOf"]))
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if schema.get("type") == "array":
        return f"list of {_typed(schema.get('items', {}), parts)}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"table of {_typed(schema['additionalProperties'], parts)}"
    return code(_kind(schema, parts)) if schema.get("type") != "null" else "null"


def exit_codes() -> str:
    """The errors and what the command line returns for each."""
    from memberwise import errors

    rows = [
        [code(name), str(one.exit_code), escaped((one.__doc__ or "").split("\n")[0])]
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, errors.MemberwiseError)
    ]
    return table(["error (`memberwise.NAME`)", "exit code", "when"], rows)


def names() -> str:
    """What ``memberwise list`` shows, and each attack's source."""
    from memberwise.attacks import ATTACKS
    from memberwise.cli.listing import listed

    source = {attack.name: attack.source for attack in ATTACKS.values()}
    parts = []
    for kind in ("attacks", "defences", "data", "models"):
        headings, rows = listed(kind)
        rows = [[code(row[0]), *(escaped(cell) for cell in row[1:])] for row in rows]
        if kind == "attacks":
            headings, rows = [*headings, "source"], [[*row, escaped(source[row[0].strip("`")])] for row in rows]
        parts.append(f"## {kind.capitalize()}\n\n{table(headings, rows)}")
    return "\n\n".join(parts)


def licences() -> str:
    """Direct dependencies by extra, with the licence that each installed distribution states."""
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {"": project["dependencies"], **project["optional-dependencies"]}
    rows = []
    for extra, requirements in extras.items():
        for requirement in requirements:
            name = re.split(r"[\[<>=; ]", requirement)[0]
            if name != "memberwise" and extra != "dev":
                rows.append(
                    [code(name), requirement[len(name) :].strip(), code(extra) or "always", escaped(licence(name))]
                )
    direct = {row[0].strip("`") for row in rows}
    brought = sorted(brought_by(direct) - {canonical(name) for name in direct})
    indirect = table(["package", "licence"], [[code(name), escaped(licence(name))] for name in brought])
    return f"{table(['package', 'version', 'extra', 'licence'], rows)}\n\n## What these bring\n\n{indirect}"


def canonical(name: str) -> str:
    """One spelling of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def brought_by(names: Iterable[str]) -> set[str]:
    """These and all that they need, as far as it is installed here; their own extras are left out."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonical(waiting.pop())
        if name in seen:
            continue
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        seen.add(name)
        waiting += [re.split(r"[^\w.-]", one.strip())[0] for one in needed if "extra ==" not in one]
    return seen


def licence(name: str) -> str:
    """What a distribution says of its licence: the expression, else its classifiers, else the first words."""
    try:
        facts = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return "not installed here"
    if facts.get("License-Expression"):
        return str(facts["License-Expression"])
    said = [one.rpartition(" :: ")[2] for one in facts.get_all("Classifier") or [] if one.startswith("License :: ")]
    said = [one for one in said if one != "OSI Approved"]
    return ", ".join(said) or str(facts.get("License") or _first_words(name)).split("\n")[0]


def _first_words(name: str) -> str:
    """The title of the licence's own file."""
    files = [file for file in metadata.files(name) or [] if re.match(r"(licen[cs]e|copying)", file.name.lower())]
    lines = [line.strip() for file in files for line in file.read_text("utf-8").splitlines()]
    return next((line for line in lines if line), "not stated")


PARTS: dict[str, Callable[[], str]] = {
    "command-line": command_line,
    "study-keys": study_keys,
    "result-json": result_json,
    "exit-codes": exit_codes,
    "names": names,
    "licences": licences,
}


if __name__ == "__main__":
    print(PARTS[sys.argv[1]]())
