"""Budgets over HTTP: many clients, a gateway that is killed, two gateways on one database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.gateway.gateways import Crowd, Process

pytestmark = pytest.mark.slow
NAMED = {"server": {"name": "digits"}}
BUDGET = 400


def model_policy(model: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": model, **NAMED, **more}


def test_a_budget_holds_against_64_clients(
    digits_onnx: dict[str, Any], start: Callable[..., Process], at_once: Callable[..., Crowd]
) -> None:
    gateway = start(model_policy(digits_onnx, plans={"default": {"questions": BUDGET}}))
    headers = gateway.key()
    clients = [gateway.client(headers) for _ in range(64)]
    crowd = at_once(gateway.of_number, clients, BUDGET + 200)
    assert (crowd.answered, crowd.statuses.count(429)) == (BUDGET, 200)
    # What was answered is answered again, at no cost.
    again = at_once(gateway.of_number, [gateway.client(headers) for _ in range(8)], 200)
    assert again.answered <= 200
    assert gateway.spent() == (BUDGET, {"alice": BUDGET})


def test_a_budget_holds_over_a_kill_and_a_restart(
    digits_onnx: dict[str, Any], start: Callable[..., Process], at_once: Callable[..., Crowd]
) -> None:
    policy = model_policy(digits_onnx, plans={"default": {"questions": BUDGET}})
    gateway = start(policy)
    headers = gateway.key()
    crowds: list[Crowd] = []
    asking = threading.Thread(
        target=lambda: crowds.append(at_once(gateway.of_number, [gateway.client(headers) for _ in range(64)], BUDGET))
    )
    asking.start()
    while gateway.spent()[0] < 100:
        time.sleep(0.01)
    gateway.process.kill()
    asking.join()
    before = crowds[0].answered
    assert 0 < before < BUDGET
    restarted = start(policy, folder=gateway.folder)
    rest = at_once(
        lambda client, number: gateway.of_number(client, 10_000 + number),
        [restarted.client(headers) for _ in range(64)],
        BUDGET,
    )
    assert BUDGET - 64 <= before + rest.answered <= BUDGET
    assert gateway.spent()[0] == BUDGET


@pytest.mark.services
def test_a_budget_holds_over_two_gateways_on_postgresql(
    digits_onnx: dict[str, Any],
    tmp_path: Path,
    start: Callable[..., Process],
    at_once: Callable[..., Crowd],
    postgresql_database: str,
) -> None:
    policy = model_policy(digits_onnx, plans={"default": {"questions": BUDGET}}, store={"url_env": "GATEWAY_STORE"})
    env = {"GATEWAY_STORE": postgresql_database}
    gateways = [start(policy, env=env, store_url=postgresql_database)]
    second = tmp_path / "second"
    second.mkdir()
    (second / "secret.key").write_bytes((gateways[0].folder / "secret.key").read_bytes())
    (second / "secret.key").chmod(0o600)
    gateways.append(start(policy, folder=second, env=env))
    headers = gateways[0].key()
    clients = [gateways[i % 2].client(headers) for i in range(64)]
    crowd = at_once(gateways[0].of_number, clients, BUDGET + 200)
    assert (crowd.answered, crowd.statuses.count(429)) == (BUDGET, 200)
    assert gateways[0].spent() == (BUDGET, {"alice": BUDGET})
    # Another secret would digest the same records to other questions: such a gateway does not start.
    with pytest.raises(AssertionError, match="secret"):
        start(policy, env=env)
