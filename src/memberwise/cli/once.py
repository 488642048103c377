"""Commands that refuse an option given twice: the last would stand, and the others be forgotten in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand


class Once(TyperCommand):
    """A command whose options of one value are given once; those of several, and switches, as often as one likes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for param, times in Counter(given).items():
            switch = getattr(param, "is_flag", False) or getattr(param, "count", False)
            if times > 1 and param.param_type_name == "option" and not (switch or getattr(param, "multiple", False)):
                ctx.fail(f"{param.opts[0]} is given {times} times, and takes one value")
        return super().parse_args(ctx, args)


class Verbs(typer.Typer):
    """A group of such commands."""

    def command(self, name: str | None = None, **options: Any) -> Callable[..., Any]:
        return super().command(name, **{"cls": Once, **options})
