"""What the status page says, and to whom."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from memberwise.gateway.costs import AttackCost
from memberwise.gateway.keys import new_key, revoke_key, rotate_key
from memberwise.gateway.sessions import COOKIE, LASTS, is_signed_in, sign_in
from memberwise.gateway.status import Status, alike, most_generous, status_of
from memberwise.gateway.status_page import render, status_routes
from memberwise.gateway.store import Store
from memberwise.gateway.watch import Alarm

if TYPE_CHECKING:
    from tests.gateway.bounded_case import mechanism
    from tests.gateway.status_case import COSTS, EVIL, NOW, SECRET, facts_of, fill, policy_of, served, spend, telling
else:
    from bounded_case import mechanism
    from status_case import COSTS, EVIL, NOW, SECRET, facts_of, fill, policy_of, served, spend, telling


@pytest.fixture
def clock() -> list[float]:
    """The time that the page's gateway sees; a test may set it."""
    return [NOW]


@pytest.fixture
def web(store: Store, clock: list[float]) -> Iterator[TestClient]:
    app = Starlette(routes=status_routes(telling(facts_of(policy_of())), store, SECRET, lambda: clock[0]))
    with TestClient(app, follow_redirects=False) as client:
        yield client


def by_name(status: Status) -> dict[str, tuple[int, int | None, str | None, str | None]]:
    return {one.name: (one.spent, one.limit, one.tier, one.plan) for one in status.clients}


@pytest.mark.slow
def test_status_says_what_was_spent_by_whom(any_store: Store) -> None:
    policy = policy_of()
    fill(any_store, policy)
    status = status_of(any_store, facts_of(policy), NOW)
    clients = by_name(status)
    assert clients["ward 3"] == (40, 40, None, "default")
    assert clients[EVIL] == (25, 40, "label", "default")  # by an alarm: its budget alone would say top-3
    assert clients["billing"] == (60, None, "vector", "open")
    assert clients["new"] == (0, 40, "vector", "default")
    assert "operator" not in clients
    assert (status.total, status.total_limit, status.total_tier) == (125, 500, "vector")
    assert status.neighbourhoods == (25, *[1] * 9)
    keys = {one.name: one.key for one in status.clients}
    assert (keys["gone"], keys["new"]) == ("revoked", "valid")
    asked = {one.name: one.asked for one in status.clients}
    assert (asked["ward 3"], asked["new"]) == (NOW - 90, None)
    assert status.clients[0].name == EVIL, "alarms come first"


def test_tier_falls_with_the_clients_budget(store: Store) -> None:
    policy = policy_of()
    for name, questions in (("19", 19), ("20", 20), ("40", 40)):
        new_key(store, name, now=NOW - 1)
        spend(store, policy, name, "default", range(1000 * questions, 1000 * questions + questions))
    found = {name: values[2] for name, values in by_name(status_of(store, facts_of(policy), NOW)).items()}
    assert {name: found[name] for name in ("19", "20", "40")} == {"19": "vector", "20": "top-3", "40": None}


@pytest.mark.parametrize(("total", "left"), [(10_000, "256"), (100, "100"), (None, "256")])
def test_the_smaller_of_two_totals_is_what_is_left(store: Store, total: int | None, left: str) -> None:
    facts = replace(facts_of(policy_of(budget={"total": total})), mechanism=mechanism())
    page = render(status_of(store, facts, NOW))
    assert f'<dt>Left of the total budget</dt>\n<dd class="value">{left}</dd>' in page.replace("\n\n", "\n")


def test_total_that_is_spent_refuses_everybody(store: Store) -> None:
    policy = policy_of(budget={"total": 5})
    new_key(store, "other", now=NOW - 1)
    spend(store, policy, "a", "default", range(5))
    status = status_of(store, facts_of(policy), NOW)
    assert {one.tier for one in status.clients} == {None}
    assert status.total_tier is None


def test_plan_that_is_gone_from_the_policy_is_refused(store: Store) -> None:
    new_key(store, "a", "research", now=NOW - 1)
    (client,) = (one for one in status_of(store, facts_of(policy_of()), NOW).clients if one.name == "a")
    assert (client.plan, client.tier, client.limit) == ("research", None, None)


def test_rotated_key_shows_the_newest_state(store: Store) -> None:
    new_key(store, "a", now=NOW - 5)
    rotate_key(store, "a", now=NOW - 1)
    (client,) = (one for one in status_of(store, facts_of(policy_of()), NOW).clients if one.name == "a")
    assert client.key == "valid"


def test_attack_is_judged_by_the_plan_that_leaves_most() -> None:
    labels = {"questions": 10, "ladder": [{"above": 0, "tier": "label"}]}
    both = policy_of(plans={"default": labels, "open": {"questions": 90}})
    alone = policy_of(plans={"default": labels})
    found, strict = most_generous(both, COSTS, labels=False), most_generous(alone, COSTS, labels=False)
    assert [(one.state, one.records) for one in found] == [("possible", 90), ("possible", 5), ("stopped", 0)]
    assert [(one.state, one.records) for one in strict] == [("stopped", 0), ("weaker", 1), ("stopped", 0)]
    assert [one.attack for one in found] == list(COSTS)


def test_attacks_alike_share_a_row_those_possible_first() -> None:
    more = (*COSTS, AttackCost("loss", 1, "scores"))
    rows = alike(most_generous(policy_of(), more, labels=False))
    assert [(names, one.state) for names, one in rows] == [
        ("lira-offline, loss", "possible"),
        ("label-only-augment", "possible"),
        ("label-only-boundary", "weaker"),
    ]


def test_names_are_escaped_everywhere(store: Store) -> None:
    policy = policy_of()
    fill(store, policy)
    alarm = Alarm("averaging", EVIL, NOW)
    facts = facts_of(
        policy, model=EVIL, alarms={EVIL: (alarm,)}, refusals={EVIL: 1}, attacks=[AttackCost(EVIL, 1, "labels")]
    )
    page = render(status_of(store, facts, NOW))
    assert page.count("&lt;script&gt;alert(2)") >= 5
    assert page.count("<script") == 1
    assert "<img" not in page


def test_page_of_an_empty_store_is_drawn(store: Store) -> None:
    page = render(status_of(store, facts_of(policy_of(budget={}), alarms={}, attacks=(), refusals={}), NOW))
    assert "Nobody has a key yet" in page
    assert "No alarms" in page


def test_stranger_is_sent_to_the_form(web: TestClient) -> None:
    for path in ("/status", "/status/fragment"):
        answer = web.get(path)
        assert answer.status_code in (303, 401)
        assert b"ward" not in answer.content
    assert web.get("/status").headers["location"] == "/status/sign-in"


def test_key_signs_in_by_the_form(web: TestClient, store: Store) -> None:
    key = fill(store, policy_of())
    answer = web.post("/status/sign-in", data={"key": f" {key}\n"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/status")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie  # it is plain http
    assert key not in cookie
    assert "ward 3" in web.get("/status").text
    assert "ward 3" in web.get("/status/fragment").text


def test_cookie_is_secure_under_tls(store: Store) -> None:
    key = fill(store, policy_of())
    app = Starlette(routes=status_routes(telling(facts_of(policy_of())), store, SECRET, lambda: NOW))
    with TestClient(app, base_url="https://gateway", follow_redirects=False) as client:
        assert "; Secure" in client.post("/status/sign-in", data={"key": key}).headers["set-cookie"]


def test_wrong_key_and_a_clients_key_are_refused(web: TestClient, store: Store) -> None:
    token = new_key(store, "a client", now=NOW - 1)
    for key in ("", "mw_wrong", token, "x" * 5000, "é", "\x00"):
        answer = web.post("/status/sign-in", data={"key": key})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert "no valid admin key" in answer.text
    assert web.post("/status/sign-in", content=b"\xff\xfe").status_code == 403


def test_other_sites_cannot_sign_in_or_out(web: TestClient, store: Store) -> None:
    key = fill(store, policy_of())
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert web.post("/status/sign-in", data={"key": key}, headers=headers).status_code == 403
    assert web.post("/status/sign-out", headers=headers).status_code == 403


def test_session_ends_after_half_an_hour(web: TestClient, store: Store, clock: list[float]) -> None:
    web.post("/status/sign-in", data={"key": fill(store, policy_of())})
    clock[0] = NOW + LASTS - 1
    assert web.get("/status").status_code == 200
    clock[0] = NOW + LASTS
    assert web.get("/status").status_code == 303


def test_every_answer_has_the_strict_policy(web: TestClient, store: Store) -> None:
    key = fill(store, policy_of())
    answers = [web.get(path) for path in ("/status", "/status/sign-in", "/status/status.css", "/status/status.js")]
    answers += [web.post("/status/sign-in", data={"key": key}), web.get("/status"), web.get("/status/fragment")]
    for answer in answers:
        rule = answer.headers["content-security-policy"]
        assert rule.startswith("default-src 'none'")
        assert "unsafe" not in rule
        assert "http" not in rule
        assert answer.headers["cache-control"] == "no-store"


def forged(body: dict[str, object], signature: str) -> str:
    return f"{base64.urlsafe_b64encode(json.dumps(body).encode()).decode()}.{signature}"


def test_cookies_that_are_not_ours_are_refused(store: Store) -> None:
    key = fill(store, policy_of())
    cookie = sign_in(store, key, SECRET, NOW)
    assert cookie is not None
    body, _, signature = cookie.partition(".")
    said = json.loads(base64.urlsafe_b64decode(body))
    assert is_signed_in(store, cookie, SECRET, NOW)
    for other in (
        None, "", ".", "é.é", body, f"{body}.", f".{signature}", f"{body}.{signature[:-1]}", cookie + "0",
        forged({**said, "ends": said["ends"] + 1}, signature),
    ):  # fmt: skip
        assert not is_signed_in(store, other, SECRET, NOW)
    assert not is_signed_in(store, cookie, b"t" * 32, NOW)


@pytest.mark.slow
def test_revoked_key_ends_its_session_at_once(store: Store) -> None:
    cookie = sign_in(store, fill(store, policy_of()), SECRET, NOW)
    revoke_key(store, "operator", now=NOW)
    assert not is_signed_in(store, cookie, SECRET, NOW)


def test_expired_admin_key_ends_its_session(store: Store) -> None:
    key = new_key(store, "operator", expires=NOW + 60, kind="admin", now=NOW - 1)
    cookie = sign_in(store, key, SECRET, NOW)
    assert is_signed_in(store, cookie, SECRET, NOW + 59)
    assert not is_signed_in(store, cookie, SECRET, NOW + 60)


@pytest.mark.slow
def test_store_that_is_away_is_said(web: TestClient, store: Store) -> None:
    web.post("/status/sign-in", data={"key": fill(store, policy_of())})
    with store.writing() as connection:
        connection.exec_driver_sql("DROP TABLE cells")
    answer = web.get("/status")
    assert answer.status_code == 503
    assert "DROP" not in answer.text
    assert "cells" not in answer.text


@pytest.mark.slow
def test_page_is_served_by_a_real_server(store: Store) -> None:
    import httpx2

    policy = policy_of()
    key = fill(store, policy)
    with served(store, facts_of(policy)) as url, httpx2.Client(follow_redirects=True) as client:
        answer = client.post(f"{url}/status/sign-in", data={"key": key})
        assert answer.status_code == 200
        assert COOKIE in client.cookies
        assert "What the budgets stop" in answer.text
