"""Notes at figures: on how many records a figure rests and by which method, said once a page and reached by a link."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from markupsafe import Markup

from memberwise.report.formats import Interval, shown


class Notes:
    """The notes of one page, numbered in the order in which figures first refer to them."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def of(self, estimate: Interval | None, n: bool = True) -> str:
        """The note of a figure; empty where there is no figure.

        Args:
            n: name the numbers of records; not where the table has them in columns of their own.
        """
        figure = shown(estimate)
        if figure is None:
            return ""
        return figure.basis if n else str(getattr(estimate, "method", "") or "method not stated")

    def common(self, estimates: Iterable[Interval | None], n: bool = True) -> str:
        """The note that most figures of a column have: it stands at the column's head, others at their figures."""
        texts = Counter(text for estimate in estimates if (text := self.of(estimate, n)))
        return texts.most_common(1)[0][0] if texts else ""

    def mark(self, text: str) -> Markup:
        """The link to a note; nothing for an empty one."""
        if not text:
            return Markup()
        if text not in self.texts:
            self.texts.append(text)
        number = self.texts.index(text) + 1
        return Markup('<sup><a href="#note-{0}" aria-label="note {0}">{0}</a></sup>').format(number)

    def at(self, estimate: Interval | None, common: str = "", n: bool = True) -> Markup:
        """The link at a figure; nothing where its column's head has the note."""
        text = self.of(estimate, n)
        return Markup() if text == common else self.mark(text)
