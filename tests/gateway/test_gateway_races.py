"""Budgets under trouble: many askers, two processes, SIGKILL. Each gateway is a process that runs ``ask_bank.py``."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from memberwise.gateway.ledger import read_clients, read_ledger, read_total
from memberwise.gateway.store import Store

BUDGET, ASKERS = 1000, 64
PROGRAM = Path(__file__).with_name("ask_bank.py")


def gateway(url: str, out: Path, first: int, count: int, name: str = "client") -> subprocess.Popen[bytes]:
    command = [sys.executable, str(PROGRAM), url, name, str(first), str(count), str(ASKERS), str(BUDGET)]
    with out.open("wb") as file:
        return subprocess.Popen(command, stdout=file)


def answered(path: Path) -> list[int]:
    """Whole lines: one that a kill cut off was not answered."""
    return [int(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.slow
def test_two_gateways_grant_exactly_the_budget(any_url: str, tmp_path: Path) -> None:
    outs = [tmp_path / "a", tmp_path / "b"]
    processes = [gateway(any_url, out, first, 900) for out, first in zip(outs, (0, 900), strict=True)]
    assert [process.wait(300) for process in processes] == [0, 0]
    numbers = [number for out in outs for number in answered(out)]
    assert len(numbers) == len(set(numbers)) == BUDGET
    # Both had their part, else nothing was tried.
    assert min(len(answered(out)) for out in outs) > 50
    store = Store.open(any_url)
    assert [(one.name, one.questions) for one in read_clients(store)] == [("client", BUDGET)]
    assert read_total(store).questions == BUDGET
    assert sum(row.questions for row in read_ledger(store, 10_000)) == BUDGET
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 3])
def test_a_killed_gateway_never_gives_one_more(any_url: str, tmp_path: Path, kills: int) -> None:
    numbers: list[int] = []
    for turn in range(kills):
        out = tmp_path / f"killed-{turn}"
        process = gateway(any_url, out, turn * 2000, 2000)
        while process.poll() is None and len(answered(out)) < 150:
            time.sleep(0.005)
        process.kill()
        assert process.wait(60) == -9
        numbers += answered(out)
    rest = tmp_path / "rest"
    assert gateway(any_url, rest, 100_000, 2000).wait(300) == 0
    numbers += answered(rest)
    assert len(numbers) == len(set(numbers))
    assert BUDGET - kills * ASKERS <= len(numbers) <= BUDGET
    store = Store.open(any_url)
    assert read_total(store).questions == BUDGET
    store.close()


@pytest.mark.slow
def test_what_a_kill_left_paid_is_answered_free(any_url: str, tmp_path: Path) -> None:
    killed, again, rest = tmp_path / "killed", tmp_path / "again", tmp_path / "rest"
    process = gateway(any_url, killed, 0, BUDGET)
    while process.poll() is None and len(answered(killed)) < 300:
        time.sleep(0.005)
    process.kill()
    process.wait(60)
    # The same thousand questions: those that were paid cost nothing, and all fit into the budget.
    assert gateway(any_url, again, 0, BUDGET).wait(300) == 0
    assert sorted(answered(again)) == list(range(BUDGET))
    assert gateway(any_url, rest, BUDGET, 10).wait(300) == 0
    assert answered(rest) == []
