"""Functions on arrays say their shapes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import memberwise

ROOT = Path(memberwise.__file__).parent
# A shape in ticks: ``(n,)``, ``(m, n, C)``, ``(n, ...)``, ``()``.
SHAPE = re.compile(r"``\((?:[^()`,]+,(?:[^()`,]+,?)*)?\)``")
# Its arguments are text; an option of the command line has the name of an alias for arrays.
EXEMPT = {"cli"}


def array_names(trees: dict[Path, ast.Module]) -> set[str]:
    """NDArray, Tensor and the modules' aliases of them: no functions, no dicts."""
    names = {"NDArray", "Tensor"}
    for _ in range(2):
        for tree in trees.values():
            for node in tree.body:
                name = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
                if isinstance(name, ast.Name) and mentions(getattr(node, "value", None), names):
                    names.add(name.id)
    return names


def mentions(node: ast.expr | None, names: set[str]) -> bool:
    """Whether an annotation is an array, an optional one, or a tuple or list with one."""
    match node:
        case ast.Name():
            return node.id in names
        case ast.Attribute():
            return node.attr in names
        case ast.Subscript(value=ast.Name(id=id)) if id in names:
            return True
        case ast.Subscript(value=ast.Name(id="tuple" | "list" | "Sequence" | "Iterator")):
            return mentions(node.slice, names)
        case ast.Tuple():
            return any(mentions(element, names) for element in node.elts)
        case ast.BinOp():
            return mentions(node.left, names) or mentions(node.right, names)
    return False


def last_name(base: ast.expr) -> str:
    """``Step`` of ``base.Step`` and of ``Step[T]``."""
    return ast.unparse(base).split("[")[0].rpartition(".")[2]


def inherited(classes: dict[str, ast.ClassDef], name: str) -> set[str]:
    """Methods of a class's bases: what overrides one keeps its docstring."""
    methods: set[str] = set()
    for base in (last_name(b) for b in classes[name].bases):
        if base in classes and base != name:
            methods |= {d.name for d in classes[base].body if isinstance(d, ast.FunctionDef)} | inherited(classes, base)
    return methods


def array_functions(tree: ast.Module, names: set[str], classes: dict[str, ast.ClassDef]) -> Iterator[tuple[str, str]]:
    """Name and docstring of the public functions and methods with an array in their annotations."""
    bodies = [("", tree.body, set[str]())]
    for c in tree.body:
        if isinstance(c, ast.ClassDef) and not c.name.startswith("_"):
            bodies.append((f"{c.name}.", c.body, inherited(classes, c.name)))
    for prefix, body, overridden in bodies:
        for d in body:
            if isinstance(d, ast.FunctionDef) and not d.name.startswith("_") and d.name not in overridden:
                arguments = [*d.args.posonlyargs, *d.args.args, *d.args.kwonlyargs]
                if any(mentions(a, names) for a in [*(x.annotation for x in arguments), d.returns]):
                    yield prefix + d.name, ast.get_docstring(d) or ""


def without_shape() -> list[tuple[str, str, str]]:
    """(room, file, name) of each public array function that states no shape."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(ROOT.rglob("*.py"))}
    names = array_names(trees)
    classes = {d.name: d for tree in trees.values() for d in tree.body if isinstance(d, ast.ClassDef)}
    return [
        (path.relative_to(ROOT).parts[0], path.relative_to(ROOT).as_posix(), name)
        for path, tree in trees.items()
        for name, text in array_functions(tree, names, classes)
        if not SHAPE.search(text)
    ]


@pytest.mark.slow
def test_array_functions_state_shapes() -> None:
    lacking = [f"{file}: {name}" for room, file, name in without_shape() if room not in EXEMPT]
    assert not lacking, "say the shapes, as ``(n,)``, in the docstrings of:\n" + "\n".join(lacking)


def test_aliases_of_arrays_are_recognised() -> None:
    trees = {path: ast.parse(path.read_text("utf-8")) for path in (ROOT / "types").glob("*.py")}
    assert array_names(trees) >= {"Array", "Floats", "Mask", "Rows"}
