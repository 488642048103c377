"""The policy by which a released model answers: its output defences in order, what they learned, and its secret."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tomli_w

from memberwise.defences.output.base import OutputDefence
from memberwise.errors import RunFolderError
from memberwise.store.files import write_atomically
from memberwise.store.secret import ensure_secret
from memberwise.study.schema import OutputDefenceConfig
from memberwise.types.arrays import Array, Arrays

if TYPE_CHECKING:
    from memberwise.defences.output.base import OutputDefence

FILE = "policy.toml"
HEAD = """\
# By these output defences, in this order, the model in target/ is to answer: memberwise.load_target(FOLDER), or
# memberwise serve policy.toml, of which the other tables ([plans], [budget], [server] and so on) are read as well.
# The secret of their random numbers is in secret.key (256 random bits, mode 600), made for this model alone. The audit
# drew from another one, which follows from its seed: its figures can be repeated, these answers cannot be foretold.
"""
UNDEFENDED = """\
# The model in target/ answers as it is: no output defence. memberwise serve policy.toml reads the other tables as well.
"""
VERSION = 1
# What else the document says, of a model in service; the gateway reads and checks it.
TABLES = frozenset({"model", "upstream", "server", "access", "plans", "budget", "watch", "store"})


def write_policy(folder: Path, answer: Sequence[OutputDefenceConfig]) -> None:
    """Write ``policy.toml`` and, where there are defences and none is there, ``secret.key``."""
    if answer:
        ensure_secret(folder)
    defences = [defence.model_dump(mode="json") for defence in answer]
    head = HEAD if answer else UNDEFENDED
    write_atomically(folder / FILE, (head + tomli_w.dumps({"version": VERSION, "answer": defences})).encode())


def read_policy(folder: Path) -> tuple[OutputDefenceConfig, ...]:
    """The output defences of a folder's ``policy.toml``.

    Raises:
        RunFolderError: it is not there, or no policy.
    """
    try:
        values = tomllib.loads((folder / FILE).read_text("utf-8"))
        _check_tables(values)
        return tuple(OutputDefenceConfig.model_validate(one) for one in values["answer"])
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RunFolderError(
            "the policy by which the model answers cannot be read",
            expected=f"a list answer of output defences, each with its name; of other keys version = {VERSION} and the "
            "gateway's tables",
            found=str(error).partition("\n")[0],
            where=str(folder / FILE),
            fix="take it from the run again: without it the model would answer undefended",
        ) from error


def _check_tables(values: Mapping[str, object]) -> None:
    if "answer" not in values:
        raise ValueError("the keys " + (", ".join(values) or "none"))
    if unknown := set(values) - TABLES - {"version", "answer"}:
        raise ValueError("the unknown key " + ", ".join(sorted(unknown)))
    if type(values.get("version", VERSION)) is not int or values.get("version", VERSION) != VERSION:
        raise ValueError(f"version = {values['version']!r}")
    if wrong := [name for name in TABLES if not isinstance(values.get(name, {}), dict)]:
        raise ValueError(f"{min(wrong)}, which is no table")


def pack_states(
    defences: Sequence[OutputDefence], states: Sequence[Sequence[object] | None]
) -> tuple[Arrays, list[int]]:
    """What defences learned of the one model before them, as arrays; and the places of those that cannot be kept."""
    arrays: Arrays = {}
    lost = []
    for place, (defence, state) in enumerate(zip(defences, states, strict=True)):
        if state is None:
            continue
        try:
            packed = defence.pack(state[0]) if isinstance(defence, OutputDefence) else None
        except NotImplementedError:
            packed = None
        if packed is None:
            lost.append(place)
        else:
            arrays |= {f"{place}.{name}": values for name, values in packed.items()}
            arrays[f"{place}"] = np.array(type(defence).__name__)
    return arrays, lost


def unpack_states(defences: Sequence[OutputDefence], arrays: Mapping[str, Array]) -> list[Sequence[object] | None]:
    """What ``pack_states`` put away, for the same defences in the same places; fresh random numbers for the others.

    Raises:
        RunFolderError: a defence stands where another one learned.
    """
    states: list[Sequence[object] | None] = []
    for place, defence in enumerate(defences):
        name = str(arrays[f"{place}"]) if f"{place}" in arrays else None
        if name is None:
            states.append(None)
            continue
        if name != type(defence).__name__:
            raise RunFolderError(
                "the policy is not the one with which the model was released",
                expected=f"{name} in place {place + 1}, which learned from the model's members",
                found=type(defence).__name__,
                where=FILE,
                fix="take it from the run again; with another policy audit the model anew",
            )
        entries = {key.partition(".")[2]: values for key, values in arrays.items() if key.startswith(f"{place}.")}
        states.append([defence.unpack(entries, np.random.default_rng(secrets.randbits(128)))])
    return states
