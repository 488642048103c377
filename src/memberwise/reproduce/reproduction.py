"""What a reproduction is: a name, what it repeats, what it needs, and the function that carries it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from memberwise.reproduce.claim import Findings

Size = Literal["smoke", "quick", "full"]
SIZES: tuple[Size, ...] = ("smoke", "quick", "full")


@dataclass(frozen=True)
class Reproduction:
    """One published table or figure, as software.

    Attributes:
        name: as in ``memberwise reproduce NAME``.
        origin: where it was published, in a few words.
        title: what is compared.
        data: for each data set the publication used, those that may serve, its own first; what is there is taken.
        minutes: on two cores, at each size; smoke below 1, quick below 10.
        run: carries it out, given a ``Bench``.
        gpu: the full size wants a GPU.
    """

    name: str
    origin: str
    title: str
    data: tuple[tuple[str, ...], ...]
    minutes: tuple[float, float, float]
    run: Callable[..., Findings]
    gpu: bool = False

    def command(self, size: Size) -> str:
        """What repeats it."""
        device = " --device cuda" if self.gpu and size == "full" else ""
        return f"memberwise reproduce {self.name} --{size}{device}"
