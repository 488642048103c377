"""Names and parameters of output defences, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from output_models import study

from memberwise.defences.output.registry import OUTPUT_DEFENCES, output_defences
from memberwise.errors import StudyError


def test_defences_come_in_the_order_of_the_study() -> None:
    made = output_defences([study("image-noise", r=0.25), study("logit-clipping"), study("rounding", digits=2)])
    assert [type(defence).__name__ for defence in made] == ["ImageNoise", "LogitClipping", "Rounding"]
    assert (made[0].r, made[2].digits) == (0.25, 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", OUTPUT_DEFENCES)
def test_every_point_of_the_grid_can_be_made(name: Any) -> None:
    for parameters in OUTPUT_DEFENCES[name].grid:
        output_defences([study(name, **parameters)])


def test_parameters_that_do_not_go_together_are_told(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from pydantic import model_validator\n"
        "from memberwise.defences.output.base import OutputDefence\n"
        "class Mine(OutputDefence):\n"
        "    low: float = 0.0\n"
        "    @model_validator(mode='after')\n"
        "    def _below(self):\n"
        "        if self.low > 1: raise ValueError('low below high')\n"
        "        return self\n"
    )
    with pytest.raises(StudyError, match=r"Mine cannot have these together(.|\n)*low below high"):
        output_defences([study(f"{tmp_path / 'mine.py'}:Mine", low=2)])


def test_an_unknown_name_is_refused_with_those_near_it() -> None:
    with pytest.raises(StudyError, match="did you mean logit-clipping"):
        output_defences([study("logit-cliping")])


def test_an_unknown_parameter_is_refused_with_those_there_are() -> None:
    with pytest.raises(StudyError, match=r"no parameter q[\s\S]*one of r, mode"):
        output_defences([study("logit-clipping", q=1)])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("rounding", {"digits": -1}),
        ("rounding", {"digits": 2.5}),
        ("temperature", {"t": 0}),
        ("top-k", {"k": 0}),
        ("logit-clipping", {"r": 0}),
        ("logit-clipping", {"r": "wide"}),
        ("logit-clipping", {"mode": "cut"}),
        ("image-noise", {"r": -0.1}),
        ("image-noise", {"average": 0}),
        ("image-noise", {"step": 0}),
        ("confidence-noise", {"r": float("nan")}),
        ("gaussian-noise", {"scale": -1}),
        ("high-confidence", {"cutoff": 1.5}),
        ("reverse-sigmoid", {"gamma": 0}),
        ("memguard", {"budget": -0.1}),
        ("ldl", {"copies": 0}),
        ("dynanoise", {"variance": -1}),
    ],
)
def test_values_out_of_range_are_refused_with_what_was_found(name: str, parameters: Any) -> None:
    with pytest.raises(StudyError, match=r"not usable[\s\S]*expected[\s\S]*found"):
        output_defences([study(name, **parameters)])


@pytest.mark.parametrize("name", [n for n in OUTPUT_DEFENCES if n not in ("label-only", "image-noise", "ldl")])
def test_nothing_that_needs_scores_comes_after_labels(name: Any) -> None:
    with pytest.raises(StudyError, match="only labels reach it"):
        output_defences([study("label-only"), study(name)])


@pytest.mark.slow
def test_importing_the_defences_imports_no_torch() -> None:
    code = "import sys, memberwise.defences.output; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
