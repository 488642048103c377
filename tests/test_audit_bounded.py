"""Audits of answers with a bound: both games are measured, and no page shows a bound without the other game."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import memberwise
from memberwise.assess.bounded import BoundPart
from memberwise.attacks.request import AttackRequest, family_of
from memberwise.auditing.bounded import at_most
from memberwise.auditing.run import run_audit
from memberwise.defences.bounded.pac import balanced_success
from memberwise.defences.bounded.spending import Bound
from memberwise.defences.bounded.words import other_game
from memberwise.defences.training.registry import write_out_defence
from memberwise.report.modelcard import model_card
from memberwise.report.redact import redacted
from memberwise.report.result import Result
from memberwise.report.terminal import print_result
from memberwise.study.reading import make_study

DEFENCES: dict[str, dict[str, Any]] = {
    "pac": {"worlds": 4, "share": "3/4", "per_question": 1e-5, "budget_nats": 0.5},
    "pate": {"teachers": 5, "epsilon": 90.0, "questions": 2_000},
}


@pytest.fixture(scope="module", params=DEFENCES)
def audited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Result]:
    name = str(request.param)
    values = {
        "data": {"source": "digits", "members": 60, "nonmembers": 60},
        "model": {"name": "mlp", "hidden": [8]},
        "training": {"epochs": 2, "defence": {"name": name, **DEFENCES[name]}},
        "shadow": {"count": 2},
        "attacks": {"use": ["gap", "loss"] if name == "pate" else ["gap"]},
        "statistics": {"fpr": [0.1]},
        "run": {"out": str(tmp_path_factory.mktemp(name) / "run"), "seed": 3},
    }
    return name, run_audit(make_study(values, "a test"))


def bound_of(result: Result) -> BoundPart:
    part = result.parts.bound
    assert part is not None
    return part


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.slow
def test_the_result_states_the_bound_with_its_game(audited: tuple[str, Result]) -> None:
    name, result = audited
    part = bound_of(result)
    assert (part.defence, part.game, part.of_training) == (name, "i" if name == "pac" else "ii", False)
    assert part.questions >= 120
    assert part.success is not None
    assert 0.5 <= part.success <= 1
    if name == "pac":
        assert part.nats is not None
        assert part.nats == pytest.approx(part.questions * 1e-5), "the most, whatever the answers cost"
        assert (part.share, part.per_question, part.epsilon) == (0.75, 1e-5, None)
    else:
        assert part.epsilon is not None
        assert part.epsilon <= 90
        assert part.epsilon_of_votes is not None


def test_the_bound_of_an_audit_is_never_above_the_budget() -> None:
    # Where models agree nothing is spent, so that more questions are asked than the budget pays for at their most.
    asked = Bound("i", nats=0.1, per_question=0.01, share=0.75, questions=100)
    assert at_most(asked, 0.3) == replace(asked, nats=0.3, success=balanced_success(0.3, 0.75))
    assert at_most(asked, 2.0).nats == pytest.approx(1.0)


@pytest.mark.slow
def test_defences_behind_it_leave_the_bound_in_the_result(tmp_path: Path) -> None:
    defence = {"name": "pac", **DEFENCES["pac"], "answers": "one-hot"}
    values = {
        "data": {"source": "digits", "members": 60, "nonmembers": 60},
        "model": {"name": "mlp", "hidden": [8]},
        "training": {"epochs": 2, "defence": defence},
        "answer": [{"name": "label-only"}],
        "shadow": {"count": 2},
        "attacks": {"use": ["gap"]},
        "statistics": {"fpr": [0.1]},
        "run": {"out": str(tmp_path / "run"), "seed": 3},
    }
    part = bound_of(run_audit(make_study(values, "a test")))
    assert (part.defence, part.game, len(part.measured.game_one)) == ("pac", "i", 2)


@pytest.mark.slow
def test_both_games_are_measured(audited: tuple[str, Result]) -> None:
    name, result = audited
    measured = bound_of(result).measured
    assert measured.game_two is not None
    assert measured.game_two.attack == result.parts.headline
    assert len(measured.game_one) == (2 if name == "pac" else 0)
    for one in measured.game_one:
        assert one.accuracy.low is not None
        assert one.accuracy.low <= one.bound
        assert (one.accuracy.n_members, one.accuracy.n_nonmembers) == (45, 15)
        # The audit asks again with altered records, about others, or more than these: "every" would be untrue.
        assert "every" not in one.attacker
    assert result.folder is not None
    page = flat((result.folder / "report.html").read_text())
    assert page.count(" nats allow ") == len(measured.game_one)
    assert "right in" not in page


@pytest.mark.slow
def test_no_page_shows_a_bound_without_the_other_game(audited: tuple[str, Result]) -> None:
    _, result = audited
    assert result.folder is not None
    console = Console(file=io.StringIO(), width=120)
    print_result(result.parts, console)
    shown = {
        "report.html": (result.folder / "report.html").read_text(),
        "result.json": json.dumps(result.data),
        "terminal": console.file.getvalue(),  # type: ignore[attr-defined]
        "model card": model_card(result.parts).replace("\\", ""),
    }
    lacking = [place for place, text in shown.items() if other_game(bound_of(result).game) not in flat(text)]
    assert not lacking


@pytest.mark.slow
def test_the_same_run_again_reads_its_bound(audited: tuple[str, Result]) -> None:
    _, result = audited
    assert result.folder is not None
    again = run_audit(make_study(result.data["study"], "the same"))
    assert bound_of(again) == bound_of(result)


@pytest.mark.parametrize("defence", [None, *DEFENCES])
def test_drawn_answers_meet_copies_of_records_by_default(defence: str | None) -> None:
    drawn = None if defence is None else {"name": defence, **DEFENCES[defence]}
    study = write_out_defence(make_study({"training": {"defence": drawn}}, "a test"))
    names = {attack.name for attack in AttackRequest.of(study).attacks}
    assert ({"label-only-near", "label-only-augment"} <= names) == (defence is not None)
    ran = ["gap", "label-only-augment", "label-only-near"]
    assert family_of(ran, "gap", "labels") == ran


def test_code_that_shows_a_bound_shows_the_other_game() -> None:
    """Whatever writes an amount for a reader also writes one of the sentences that end with the other game."""
    root = Path(memberwise.__file__).parent
    amounts = ("bounded_in_short(", "bounded_words(", "up_percent(", "success_of(")
    sentences = ("other_game(", "other_games", "bound_sentences(", ".sentences")
    showing = {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for room in ("report", "frontier", "gateway", "cli", "defences/training")
        for path in [*(root / room).rglob("*.py"), *(root / room).rglob("*.j2")]
    }
    found = {name for name, text in showing.items() if any(word in text for word in amounts)}
    assert {"report/sections/bounded.py", "frontier/terminal.py", "frontier/templates/frontier.html.j2"} <= found
    assert [name for name in found if not any(word in showing[name] for word in sentences)] == []


@pytest.mark.slow
def test_questions_beyond_the_budget_are_refused_not_answered(tmp_path: Path) -> None:
    """The audit's own questions fit; the label-only attack asks for more than are granted and cannot run."""
    values = {
        "data": {"source": "digits", "members": 40, "nonmembers": 40, "population": 1_500},
        "model": {"name": "mlp", "hidden": [8]},
        "training": {"epochs": 1, "defence": {"name": "pate", "teachers": 2, "questions": 1_700, "threshold": 0.0}},
        "shadow": {"count": 2},
        "attacks": {"use": ["gap", "label-only-noise"]},
        "run": {"out": str(tmp_path / "run"), "seed": 3},
    }
    result = run_audit(make_study(values, "a test"))
    assert [attack.name for attack in result.parts.attacks] == ["gap"]
    assert [one.name for one in result.parts.skipped] == ["label-only-noise"]
    part = bound_of(result)
    assert part.questions == 1_700
    assert part.epsilon is not None
    assert part.epsilon == pytest.approx(8.0, rel=1e-6)
    assert part.epsilon <= 8.0


@pytest.mark.slow
def test_the_epsilon_of_the_votes_is_not_published(audited: tuple[str, Result]) -> None:
    _, result = audited
    clean, _, _ = redacted(result.parts, result.scores, result.curves, and_scores=False)
    part = clean.bound
    assert part is not None
    assert part.epsilon_of_votes is None
    assert part.sentences == bound_of(result).sentences
