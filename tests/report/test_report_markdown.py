"""Markdown for job summaries and pull requests, read by GitHub's flavour of the grammar as far as tables go."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from memberwise.report.formats import shown
from memberwise.report.markdown import MOST, comparison, summary


def _tables(text: str) -> list[list[list[str]]]:
    """Every table, by rows of cells; pipes that are escaped do not part cells."""
    found: list[list[list[str]]] = []
    before = ""
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if before.startswith("|"):
                found[-1].append(cells)
            else:
                found.append([cells])
        before = line
    return found


def test_summary_has_every_attack_with_its_interval(audit: Any) -> None:
    text = summary(audit.parts)
    rows = {row[0].replace("\\", ""): row for table in _tables(text)[1:] for row in table[2:]}
    assert set(rows) == {attack["name"] for attack in audit.result["attacks"]}
    for attack in audit.parts.attacks:
        assert rows[attack.name][1] == str(shown(attack.auc, "number"))
    assert text.startswith("## \N{WARNING SIGN} Membership leakage: inconclusive\n")
    assert all(len({len(row) for row in table}) == 1 for table in _tables(text))


def test_comparison_names_what_surely_changed(audit: Any) -> None:
    later = copy.deepcopy(audit.result)
    later["attacks"][7]["auc"] |= {"value": 0.99, "low": 0.98, "high": 1.0}
    text = comparison(audit.parts, type(audit.parts).from_dict(later), ("main", "this one"))
    changed, every = _tables(text)
    assert [row[:2] + row[4:] for row in changed[2:]] == [["lira-online-fixed", "AUC", "main leaks less"]]
    assert len(every) - 2 == 2 + len(audit.result["attacks"]) * 4
    assert "surely changed" in comparison(audit.parts, audit.parts)


@pytest.mark.parametrize("two", [False, True])
def test_hostile_names_stay_text(hostile: Any, two: bool) -> None:
    names = ("<script>alert(1)</script>|", "a\n| b | [c](https://example.org)")
    text = comparison(hostile.parts, hostile.parts, names) if two else summary(hostile.parts)
    assert "](" not in text.replace("\\](", "").replace("]\\(", "")
    assert "<script" not in text.replace("\\<script", "")
    assert set(re.findall(r"(?<!\\)<(/?\w+)", text)) <= {"details", "/details", "summary", "/summary"}
    assert all(len({len(row) for row in table}) == 1 for table in _tables(text))


def test_comment_keeps_within_what_a_platform_takes(audit: Any) -> None:
    attacks = audit.result["attacks"]
    attacks += [{**attacks[1], "name": f"another-{place}"} for place in range(900)]
    for text in (summary(audit.parts), comparison(audit.parts, audit.parts)):
        assert len(text) < MOST + 4000
        assert "rows are left out" in text
