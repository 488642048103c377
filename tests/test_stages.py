"""The clock of a run's stages."""

from __future__ import annotations

from memberwise.types.stages import Stages, StageSeconds, process_seconds, stage_lines


def test_what_passes_is_the_stage_that_is_over_then() -> None:
    times = iter([100.0, 101.0, 103.5, 104.0, 110.0, 110.0])
    stages = Stages(2.0, lambda: next(times))
    stages.over("data")
    stages.over("plan")
    stages.over("data")
    spent = {one.stage: one.seconds for one in stages.spent()}
    assert {name: seconds for name, seconds in spent.items() if seconds} == {
        "start-up": 2.0,
        "data": 1.5,
        "plan": 2.5,
        "other": 6.0,
    }
    assert sum(spent.values()) == 2.0 + (110.0 - 100.0)
    assert stages.seconds == 10.0


def test_the_table_ends_with_the_whole() -> None:
    first, *_, last = stage_lines([StageSeconds("data", 1.0), StageSeconds("plan", 3.0)])
    assert first.split() == ["data", "1.00", "s", "25.0%"]
    assert last.split() == ["total", "4.00", "s", "100.0%"]


def test_a_process_knows_when_it_started() -> None:
    assert process_seconds() >= 0
    assert process_seconds() <= process_seconds() + 0.02
