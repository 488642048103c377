"""Things by name: those built in, one in a file of the user's own, one that an installed package brings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeGuard, TypeVar

from memberwise.errors import StudyError, did_you_mean
from memberwise.study.entrypoint import is_entrypoint, load_entrypoint

T = TypeVar("T")


def instance_of(kind: type[T]) -> Callable[[object], TypeGuard[T]]:
    """The check that a thing is one of a class."""

    def fits(thing: object) -> TypeGuard[T]:
        return isinstance(thing, kind)

    return fits


class Registry(Mapping[str, T], Generic[T]):
    """Things by name, in order. As a mapping it holds the built-in ones; ``find`` also looks elsewhere.

    Args:
        what: what one of them is called in errors.
        things: the built-in ones, each with its name.
        fits: whether what a file or a package holds is one of them.
        kinds: what a file holds may be an instance of these, to tell which of its names would do.
        classes: those of the kinds of which a class does, too.
        form: what may stand in place of a name, in words.
        group: the group of entry points under which packages bring more; loaded only where a name is not built in.
        otherwise: what to do about a name to which no other comes near.

    Raises:
        ValueError: two have the same name.
    """

    def __init__(
        self,
        what: str,
        things: Iterable[tuple[str, T]],
        *,
        fits: Callable[[object], TypeGuard[T]] | None = None,
        kinds: tuple[type, ...] = (),
        classes: tuple[type, ...] = (),
        form: str | None = None,
        group: str | None = None,
        otherwise: str | None = None,
    ) -> None:
        self.kinds, self.classes = kinds, classes
        self.what, self.fits, self.form, self.group, self.otherwise = what, fits, form, group, otherwise
        self.built_in: dict[str, T] = {}
        for place, (name, thing) in enumerate(things, 1):
            if name in self.built_in:
                first = list(self.built_in).index(name) + 1
                raise ValueError(f"two {what}s are called {name} (numbers {first} and {place} of the list)")
            self.built_in[name] = thing

    def __getitem__(self, name: str) -> T:
        return self.built_in[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.built_in)

    def __len__(self) -> int:
        return len(self.built_in)

    def find(self, name: str, where: str) -> T:
        """The thing of this name: built in, ``file.py:name``, ``module:name`` or of an installed package.

        Raises:
            StudyError: there is none, or it is something else, or fails while it is imported.
        """
        thing = self.look_up(name, where)
        if self.fits is None or not self.fits(thing):
            raise self.unknown(name, where)
        return thing

    def look_up(self, name: str, where: str) -> object | None:
        """The same, whatever it is; None where there is none."""
        if name in self.built_in:
            return self.built_in[name]
        if is_entrypoint(name):
            thing: object = load_entrypoint(name, where, self.kinds, self.classes)
            return thing
        return self._load(name) if self.has_plugin(name) else None

    def has_plugin(self, name: str) -> bool:
        """An installed package brings one of this name, and none of it is built in."""
        return name not in self.built_in and any(point.name == name for point in self._points())

    def unknown(self, name: str, where: str | None) -> StudyError:
        """The error for a name that nothing has."""
        form = f", or {self.form}" if self.form else ""
        named = f"{name}:NAME, where NAME is the {self.what} in that file" if name.endswith(".py") else None
        return StudyError(
            f"there is no {self.what} {name}",
            expected="one of " + ", ".join(self) + form,
            where=where,
            fix=named or did_you_mean(name, self) or self.otherwise,
        )

    def plugins(self) -> tuple[dict[str, object], list[str]]:
        """What installed packages bring, by name; and of each that cannot be had, why."""
        things: dict[str, object] = {}
        problems: list[str] = []
        for point in self._points():
            if point.name in self.built_in:
                problems.append(f"{_described(point)} has the name of the built-in {self.what} {point.name}: not used")
                continue
            try:
                thing = self._load(point.name)
            except StudyError as error:
                problems.append(error.problem + (f": {error.found}" if error.found else ""))
                continue
            if self.fits is None or self.fits(thing):
                things[point.name] = thing
            else:
                problems.append(f"{_described(point)} is no {self.what}")
        return things, list(dict.fromkeys(problems))

    def _points(self) -> list[EntryPoint]:
        return [] if self.group is None else sorted(entry_points(group=self.group), key=lambda point: point.name)

    def _load(self, name: str) -> object:
        named = [point for point in self._points() if point.name == name]
        if len(named) > 1:
            both = " and ".join(_described(point) for point in named)
            raise StudyError(f"two plug-ins are called {name}", found=both, fix="uninstall one of them")
        try:
            thing: object = named[0].load()
        except (Exception, SystemExit) as error:
            raise StudyError(
                f"{_described(named[0])} cannot be loaded",
                found=f"{type(error).__name__}: {error}",
                where=f"entry points, {self.group}",
                fix="update or uninstall its package",
            ) from error
        return thing


def _described(point: EntryPoint) -> str:
    package = f" of {point.dist.name}" if point.dist is not None else ""
    return f"the plug-in {point.name} ({point.value}{package})"
