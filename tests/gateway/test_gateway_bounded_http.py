"""Answers with a bound over HTTP: what is told, to whom, and what the pages say of it."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memberwise.defences.bounded.words import CLIENTS_APART, bound_sentences, other_game
from memberwise.defences.output.bounded import BoundedDefence
from memberwise.defences.output.pac import Pac
from memberwise.defences.output.pate import Pate
from memberwise.errors import StudyError
from memberwise.gateway.bound_words import NATS_OF_ONE, bound_after
from memberwise.gateway.bounded import Account, mechanism_of
from memberwise.gateway.keys import new_key
from memberwise.gateway.loading import load_behind
from memberwise.gateway.local import LocalModel
from memberwise.gateway.policy import parse_policy
from memberwise.gateway.protocols.base import Outcome
from memberwise.gateway.status import status_of
from memberwise.gateway.status_page import render
from memberwise.gateway.store import Store
from memberwise.gateway.tiers import coarsen

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from memberwise.gateway.app import Gateway

CLASSES, WORLDS, SECRET = 4, 12, b"s" * 32
PAC = Pac(budget_nats=2.0, per_question=2.0**-6, answers="one-hot")
FREE = {"neighbourhood": {"questions": None}}


def worlds_say(x: np.ndarray) -> np.ndarray:
    """``(n, WORLDS, CLASSES)``: of records whose first number is 1 all say the same, of others not."""
    labels = np.zeros((len(x), WORLDS), int)
    for row, record in zip(labels, x, strict=True):
        row[:] = np.random.default_rng(int(record[1] * 1000)).integers(0, CLASSES, 1 if record[0] == 1 else WORLDS)
    return np.eye(CLASSES)[labels]


@dataclass
class Bounded:
    """A gateway in the test's own process."""

    client: TestClient
    store: Store
    gateway: Gateway
    headers: dict[str, str]

    def ask(self, *records: tuple[float, float], protocol: str = "v1") -> Any:
        return self.client.post(
            "/v1/models/model:predict", json={"instances": [list(one) for one in records]}, headers=self.headers
        )

    def state(self) -> Any:
        assert self.gateway.serving.behind.mechanism is not None
        with self.store.reading() as connection:
            return Account(connection, self.gateway.serving.behind.mechanism).state

    def change(self, defence: BoundedDefence[Any], fingerprint: str = "first", **tables: Any) -> None:
        """Serve by another policy from now on."""
        policy = parse_policy({"budget": FREE, **tables}, "the test")

        async def change() -> None:
            self.gateway.change(policy, model(defence, fingerprint))

        assert self.client.portal is not None
        self.client.portal.call(change)

    def page(self) -> str:
        assert self.client.portal is not None
        return render(status_of(self.store, self.client.portal.call(self.gateway.facts), time.time()))


def model(defence: BoundedDefence[Any], fingerprint: str = "first") -> LocalModel:
    return LocalModel(
        worlds_say,
        classes=tuple("abcd"),
        shape=(2,),
        kind=defence.gives("probabilities"),
        fingerprint=fingerprint,
        most=64,
        mechanism=mechanism_of(defence, "weights", "probabilities", WORLDS, SECRET),
    )


def section_of(page: str) -> str:
    """The text of what the page says of bounds."""
    return html.unescape(" ".join(page[page.index('id="bound"') : page.index('id="clients"')].split()))


Start = Callable[..., AbstractContextManager[Bounded]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """From a policy's keys to a gateway; the next one of the same test finds the store of the one before."""
    from starlette.testclient import TestClient

    from memberwise.gateway.app import make_app

    @contextmanager
    def begin(defence: BoundedDefence[Any] = PAC, name: str = "a", **tables: Any) -> Iterator[Bounded]:
        policy = parse_policy({"budget": FREE, **tables}, "the test")
        store = Store.open(f"sqlite:///{tmp_path / f'{name}.sqlite'}")
        app = make_app(policy, tmp_path, store=store, behind=model(defence), secret=SECRET)
        token = new_key(store, f"ann {time.monotonic_ns()}", now=time.time())
        with TestClient(app, raise_server_exceptions=False) as client:
            yield Bounded(client, store, app.state.gateway, {"Authorization": f"Bearer {token}"})

    return begin


def test_asked_again_the_bytes_are_the_same_also_later(start: Start) -> None:
    records = [(0.0, 0.125), (1.0, 0.5), (0.0, 0.75)]
    with start() as gateway:
        first = [gateway.ask(one).content for one in records]
        assert [gateway.ask(one).content for one in records] == first
        before = gateway.state()
    with start() as gateway:
        assert [gateway.ask(one).content for one in records] == first
        assert gateway.state().weights.tobytes() == before.weights.tobytes()
        assert gateway.state().questions == 3
        # A defence named in the policy is the same one as the folder's own: no question is new for it.
        gateway.change(PAC, answer=[{"name": "pac"}])
        assert [gateway.ask(one).content for one in records] == first


def test_replies_tell_not_whether_worlds_agree(start: Start) -> None:
    label = Pac(budget_nats=8.5 * 2.0**-6, per_question=2.0**-6)

    def seen(name: str, agree: float) -> list[Any]:
        with start(label, name, plans={"default": {"questions": 50}}) as gateway:
            replies = [gateway.ask((agree, 0.001 * number)) for number in range(11)]
            assert (gateway.state().nats == 0) == (agree == 1)
        return [
            (reply.status_code, dict(reply.headers), reply.text if reply.status_code != 200 else sorted(reply.json()))
            for reply in replies
        ]

    agreeing = seen("agreeing", 1.0)
    assert agreeing == seen("apart", 0.0)
    assert [status for status, _, _ in agreeing] == [200] * 8 + [429] * 3
    assert not any(
        "nats" in text or "epsilon" in text for _, headers, text in agreeing for text in [*headers, str(text)]
    )


@pytest.mark.parametrize("kept", [True, False])
def test_a_reload_gives_nothing_anew(start: Start, kept: bool) -> None:
    small = Pac(budget_nats=4 * 2.0**-6, per_question=2.0**-6, answers="one-hot")
    with start(small) as gateway:
        for number in range(4):
            assert gateway.ask((0.0, 0.1 * number)).status_code == 200
        # Other plans, no total; and (not kept) other facts about the same ensemble.
        name = "first" if kept else "second"
        gateway.change(small, name, plans={"default": {"questions": None}}, budget={**FREE, "total": 999})
        again, new = gateway.ask((0.0, 0.1)), gateway.ask((0.0, 0.9))
        assert again.status_code == (200 if kept else 429)
        assert (new.status_code, new.json()["reason"]) == (429, "total")
        assert gateway.state().questions == 4


def test_a_lowered_total_of_nats_binds_the_next_request(start: Start) -> None:
    with start() as gateway:
        assert gateway.ask((0.0, 0.1), (0.0, 0.2), (0.0, 0.3)).status_code == 200
        gateway.change(PAC, budget={**FREE, "total_nats": 2.5 * PAC.cost})
        assert gateway.ask((0.0, 0.4)).json()["reason"] == "total"
        assert gateway.ask((0.0, 0.3)).status_code == 200
        assert "refused" in gateway.page()


def test_the_status_page_shows_both_games(start: Start) -> None:
    with start(budget={**FREE, "total_nats": 0.5}, plans={"default": {"nats": 0.25}}) as gateway:
        gateway.ask((0.0, 0.1), (1.0, 0.2))
        page = gateway.page()
        assert gateway.gateway.serving.behind.mechanism is not None
        bound = bound_after(gateway.gateway.serving.behind.mechanism, 2)
    section = section_of(page)
    for told in (bound_sentences(bound), other_game("i"), "game ii", "0.5 nats", NATS_OF_ONE):
        assert told in section, told
    assert "30 questions" in section  # of 0.5 nats at 2^-6 each 32, of which two are granted
    assert "0.0312 of 0.25" in page
    assert "<td>14<svg" in page  # and of the client's 0.25 nats 16


def test_without_a_bound_no_page_speaks_of_one(make_served: Callable[..., Any]) -> None:
    served = make_served()
    token = new_key(served.store, "operator", now=time.time(), kind="admin")
    served.client.post("/status/sign-in", data={"key": token})
    assert 'id="bound"' not in served.client.get("/status/fragment").text


@pytest.mark.parametrize("server", [True, False])
def test_one_model_cannot_answer_with_a_bound(tmp_path: Path, digits_model: Path, server: bool) -> None:
    behind: dict[str, Any] = {"model": {"file": str(digits_model)}}
    if server:
        behind = {"upstream": {"url": "http://127.0.0.1:9", "classes": ["a", "b"], "shape": [2]}}
    for name in ("pac", "pate"):
        policy = parse_policy({**behind, "answer": [{"name": name}]}, "the test")
        with pytest.raises(StudyError, match="ensemble"):
            load_behind(policy, tmp_path, SECRET)


def test_a_budget_of_another_kind_keeps_the_old_policy(start: Start) -> None:
    with start() as gateway:
        old = gateway.gateway.serving
        with pytest.raises(StudyError, match="total_epsilon"):
            gateway.change(PAC, budget={**FREE, "total_epsilon": 1.0})
        assert gateway.gateway.serving is old
        assert gateway.ask((0.0, 0.1)).status_code == 200


def test_an_ensemble_that_overflows_costs_nothing(start: Start) -> None:
    with start() as gateway:
        gateway.gateway.serving.behind._predict = lambda x: np.full((len(x), WORLDS, CLASSES), np.nan)  # type: ignore[attr-defined]
        assert gateway.ask((0.0, 0.1)).status_code == 400
        gateway.gateway.serving.behind._predict = lambda x: np.zeros((len(x), CLASSES))  # type: ignore[attr-defined]
        assert gateway.ask((0.0, 0.1)).status_code == 502
        assert gateway.state().questions == 0
        assert gateway.gateway.serving.behind.mechanism is not None
        with gateway.store.reading() as connection:
            assert Account(connection, gateway.gateway.serving.behind.mechanism).nats == 0


def test_no_label_is_told_where_none_was_given() -> None:
    answers = np.array([[0.25] * 4, [0.0, 1.0, 0.0, 0.0]])
    assert coarsen(answers, "label", may_abstain=True).tolist() == [-1, 1]
    assert coarsen(answers, "label").tolist() == [0, 1]
    top = coarsen(answers, "top-3", may_abstain=True)
    assert Outcome(top, "top-3", "scores", tuple("abcd"), may_abstain=True).labels.tolist() == [-1, 1]


def test_epsilon_is_a_budget_like_questions(start: Start) -> None:
    accounting = pytest.importorskip("dp_accounting", reason="the extra pate")
    assert accounting
    defence = Pate(epsilon=4.0, questions=20, threshold=0.6)
    ladder = [{"above": 0, "tier": "vector"}, {"above": 0.5, "tier": "label"}]
    plans = {"default": {"epsilon": 2.0, "ladder": ladder}}
    with start(defence, plans=plans, budget={**FREE, "total_epsilon": 2.5}) as gateway:
        assert gateway.gateway.serving.behind.mechanism is not None
        cost = gateway.gateway.serving.behind.mechanism.cost_rho
        from memberwise.defences.bounded.pate import rho_of

        mine, all_of = (int(rho_of(epsilon, 1e-5) / cost) for epsilon in (2.0, 2.5))
        assert 0 < mine < all_of < 20
        replies = [gateway.ask((0.0, 0.01 * number)) for number in range(mine + 1)]
        assert [one.status_code for one in replies] == [200] * mine + [429]
        assert replies[-1].json()["reason"] == "client"
        told = [one.headers["Memberwise-Tier"] for one in replies[:-1]]
        assert told == ["vector"] * told.count("vector") + ["label"] * told.count("label")
        assert {"vector", "label"} == set(told)
        # Another client: until the total of both is spent.
        token = new_key(gateway.store, "bob", now=time.time())
        gateway.headers["Authorization"] = f"Bearer {token}"
        assert [gateway.ask((0.0, 0.5 + 0.01 * number)).status_code for number in range(all_of - mine + 1)] == [
            *[200] * (all_of - mine),
            429,
        ]
        page = gateway.page()
    section = section_of(page)
    for said in ("(game ii)", other_game("ii"), "epsilon", "At delta", CLIENTS_APART, "0 questions"):
        assert said in section, said
