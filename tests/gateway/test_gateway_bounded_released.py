"""A released ensemble behind the gateway, as a process of its own: trained, served, killed, served again."""

from __future__ import annotations

import signal
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from tests.gateway.gateways import release_digits

from memberwise.defences.released import load_target
from memberwise.gateway.bounded import Account
from memberwise.gateway.ledger import read_ledger
from memberwise.gateway.local import local_model
from memberwise.gateway.policy import parse_policy
from memberwise.gateway.store import Store

if TYPE_CHECKING:
    from tests.gateway.gateways import Process

pytestmark = pytest.mark.slow
WORLDS, QUESTIONS = 4, 2000
PLANS = "\n[plans.default]\nrates = []\n[budget]\ntotal_nats = 0.0003\n[budget.neighbourhood]\nquestions = 1000000\n"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with an ensemble, whose exported policy got the gateway's tables: 60 questions in all."""
    out = tmp_path_factory.mktemp("run") / "digits"
    defence = {"name": "pac", "worlds": WORLDS, "budget_nats": 0.01, "questions": QUESTIONS}
    recipe = {"training.epochs": 15, "training.batch_size": 16, "training.learning_rate": 0.2}
    release_digits(out, "gap", recipe | {"training.defence": defence})
    policy = out / "policy.toml"
    policy.write_text(policy.read_text() + PLANS)
    return out


def test_an_ensemble_is_served_with_its_bound(released: Path, start: Callable[..., Process]) -> None:
    images = load_digits().images[:65]
    worlds = load_target(released).ensemble(images)[0].argmax(-1)
    gateway = start(folder=released)
    headers = gateway.key()
    with gateway.client(headers) as client:
        first = [ask(client, image) for image in images[:30]]
        gateway.stop(signal.SIGKILL)
    again = start(folder=released)
    with again.client(headers) as client:
        # By another protocol the same answers; nothing of it is paid again.
        tensor = {"name": "x", "shape": [30, 8, 8], "datatype": "FP32", "data": images[:30].ravel().tolist()}
        output = client.post("/v2/models/model/infer", json={"inputs": [tensor]}).json()["outputs"][0]
        assert output["data"] == [one.json()["predictions"][0] for one in first]
        assert [ask(client, image).content for image in images[:3]] == [one.content for one in first[:3]]
        rest = [ask(client, image) for image in images[30:]]
    assert [one.status_code for one in rest] == [200] * 30 + [429] * 5
    told = np.array([one.json()["predictions"][0] for one in [*first, *rest[:30]]])
    agree = (worlds[:60] == worlds[:60, :1]).all(1)
    assert 5 < agree.sum() < 55
    np.testing.assert_array_equal(told[agree], worlds[:60][agree, 0])
    # Where worlds differ there is nearly nothing but noise: 5e-6 nats a question do not tell the secret world.
    check_books(released, agree)


@pytest.mark.services
def test_two_gateways_answer_as_one_over_a_kill(
    released: Path,
    tmp_path: Path,
    start: Callable[..., Process],
    at_once: Callable[..., Any],
    postgresql_database: str,
) -> None:
    images = load_digits().images
    values = {"model": {"file": str(released)}, "budget": {"total_nats": 0.0003}, "store": {"url_env": "GATEWAY_STORE"}}
    env, gateways = {"GATEWAY_STORE": postgresql_database}, []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "secret.key").write_bytes((released / "secret.key").read_bytes())
        (folder / "secret.key").chmod(0o600)
        gateways.append(start(values, folder=folder, env=env, store_url=postgresql_database))
    headers = [gateways[0].key(name) for name in ("ann", "bob")]
    told: dict[int, set[bytes]] = {}

    def one(client: Any, number: int) -> Any:
        if number == 60:
            gateways[1].stop(signal.SIGKILL)
        response = ask(client, images[number % 45])
        if response.status_code == 200:
            told.setdefault(number % 45, set()).add(response.content)
        return response

    clients = [gateways[i % 2].client(headers[i // 2 % 2]) for i in range(64)]
    crowd = at_once(one, clients, 180)
    assert crowd.statuses.count(429) == 0
    assert all(len(answers) == 1 for answers in told.values())
    # What the killed one has told is told again; of 60 questions those that are left, to one client after the other.
    with gateways[0].client(headers[0]) as client:
        again = [ask(client, image) for image in images[:45]]
        assert all(told.get(i, {one.content}) == {one.content} for i, one in enumerate(again))
        assert [ask(client, image).status_code for image in images[45:65]] == [200] * 15 + [429] * 5
    store = Store.open(postgresql_database)
    policy = parse_policy({"model": {"file": str(released)}}, "the test")
    with store.reading() as connection:
        account = Account(connection, local_model(policy, tmp_path, b"").mechanism)  # type: ignore[arg-type]
    assert account.state.questions == 60
    assert account.nats == pytest.approx(0.0003)
    answers = [row.digest for row in read_ledger(store, 10_000) if row.event == "answer"]
    assert len(answers) == len(set(answers)) == 60
    store.close()


def check_books(released: Path, agree: np.ndarray) -> None:
    store = Store.open(f"sqlite:///{released / 'gateway.sqlite'}")
    policy = parse_policy(tomllib.loads((released / "policy.toml").read_text()), "the test")
    mechanism: Any = local_model(policy, released, b"").mechanism
    assert (mechanism.worlds, mechanism.questions) == (WORLDS, QUESTIONS)
    with store.reading() as connection:
        account = Account(connection, mechanism)
    cost = 0.01 / QUESTIONS
    assert account.nats == pytest.approx(60 * cost)
    assert account.state.questions == 60
    booked = [row.nats for row in reversed(read_ledger(store, 1000)) if row.event == "answer"]
    np.testing.assert_array_equal(np.array(booked) == 0, agree)
    assert account.state.nats == pytest.approx(sum(booked))
    assert 0.99 < sum(booked) / (cost * (~agree).sum()) <= 1
    store.close()


def ask(client: Any, image: np.ndarray) -> Any:
    return client.post("/v1/models/model:predict", json={"instances": image[None].tolist()})
