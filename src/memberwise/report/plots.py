"""``result.plot``: the report's figures for notebooks, each an SVG that shows itself and can be saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memberwise.errors import StudyError
from memberwise.report import figures
from memberwise.report.sections import records as exposed
from memberwise.report.sections import targets
from memberwise.store.files import write_text

if TYPE_CHECKING:
    from memberwise.report.result import Result


@dataclass(frozen=True)
class Plot:
    """A figure: a notebook shows it, ``save`` writes it as SVG.

    Attributes:
        svg: the figure's text. label: what it shows, for those who do not see it.
    """

    svg: str
    label: str

    def save(self, path: str | Path) -> Path:
        """Write the figure as a file of its own; returns its path."""
        write_text(Path(path), self._standing_alone())
        return Path(path)

    def _repr_svg_(self) -> str:
        return self._standing_alone()

    def __repr__(self) -> str:
        return f"<Plot: {self.label}>"

    def _standing_alone(self) -> str:
        return self.svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="560" ', 1)


class Plots:
    """The figures of one result."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def roc(self, attacks: Sequence[str] | None = None) -> Plot:
        """ROC curves on logarithmic axes, with the interval of the first attack.

        Args:
            attacks: which, the first one emphasised; by default the headline and the best known ones.

        Raises:
            StudyError: an attack was not run, or there are no curves.
        """
        parts, curves = self._result.parts, self._result.curves
        names = [attack.name for attack in parts.attacks]
        if unknown := [name for name in attacks or () if name not in names]:
            raise StudyError(f"the attack {unknown[0]} was not run", expected=", ".join(names) or "none ran")
        first = attacks[0] if attacks else parts.headline
        svg = figures.roc(curves, first, list(attacks or names), parts.data.nonmembers or 0)
        return _plot(svg, f"ROC of {', '.join(attacks or [first])}", "curves")

    def scores(self, attack: str | None = None) -> Plot:
        """How the scores of members and of non-members are distributed, of the headline attack by default.

        Raises:
            StudyError: the attack has no scores.
        """
        name = attack or self._result.parts.headline
        frame = self._result.scores
        if name not in frame:
            raise StudyError(f"there are no scores of {name}", expected=", ".join(map(str, frame.columns[4:])))
        kept = frame[frame["evaluated"] == 1]
        values, member = kept[name].to_numpy(float), kept["member"].to_numpy() == 1
        return _plot(figures.histogram(values[member], values[~member], name), f"scores of {name}", "scores")

    def records(self, index: int | None = None) -> Plot:
        """What models that trained on an exposed record answer about it, and models that did not.

        Args:
            index: its row number, one of the most exposed; by default the most exposed one.

        Raises:
            StudyError: nothing is kept about that record.
        """
        cards = [one for one in exposed.worst_records(self._result.parts, self._result.curves) if one.plot]
        card = next((one for one in cards if index is None or one.record.index == index), None)
        if card is None:
            raise StudyError(
                "nothing is kept about this record" if index is not None else "no record's answers are kept",
                expected=", ".join(str(one.record.index) for one in cards) or "an audit with shadow models",
                found=None if index is None else str(index),
            )
        return _plot(str(card.plot), f"{card.name}: {card.said}", "records")

    def turns(self) -> Plot:
        """Models in the target's place in turn, each one's TPR, and the mean with its interval.

        Raises:
            StudyError: the study had no models in turn (``--targets K``).
        """
        part = self._result.parts.targets
        return _plot(targets.plot(part), "TPR of models in the target's place", "models in turn (--targets K)")


def _plot(svg: str | None, label: str, what: str) -> Plot:
    if svg is None:
        raise StudyError(f"this result has no {what} to draw")
    return Plot(_painted(svg), label)


def _painted(svg: str) -> str:
    """Colours of its own: outside the report's page nobody gives its variables values."""
    for painted in figures.PAINT.values():
        name, _, colour = painted.removeprefix("var(").removesuffix(")").partition(", ")
        svg = svg.replace(painted, colour).replace(f"var({name})", colour)
    return svg.replace("var(--sans, sans-serif)", "sans-serif").replace("var(--sans)", "sans-serif")
