"""A served model asked over a real connection: every answer once, whatever the server does on the way."""

from __future__ import annotations

import socket
import sqlite3
import ssl
import struct
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from endpoints import budget_of, data, dataset, endpoint, probabilities, serving
from model_server import Handler, ModelServer
from numpy.testing import assert_array_equal

from memberwise.errors import AskingError, MemberwiseError, StudyError, TargetError
from memberwise.study.target import TargetConfig
from memberwise.targets.asking import Asker, BudgetSpent, delay_before
from memberwise.targets.endpoint import Endpoint
from memberwise.targets.sending import Again, delay_of
from memberwise.targets.sent import Form

X = data()[0]


class Clock:
    """Whose waiting takes no time."""

    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of endpoints: they wait by it."""
    clock = Clock()
    monkeypatch.setattr("memberwise.targets.endpoint.Asker", partial(Asker, clock=lambda: clock.now, sleep=clock.sleep))
    return clock


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["v2", "v1", "mlflow"])
def test_answers_are_the_models_own_bit_for_bit(protocol: str, tmp_path: Path) -> None:
    with serving(delay=0.02) as server:
        target = endpoint(server, tmp_path, protocol=protocol, batch=37, concurrency=3)
        assert_array_equal(target.predict(X)[0], probabilities(X))
        assert target.kind == "probabilities"
        assert server.most_at_once > 1
        target.close()


@pytest.mark.slow
def test_a_record_is_asked_once_and_probes_again(tmp_path: Path) -> None:
    with serving() as server:
        target = endpoint(server, tmp_path, probes=5)
        target.predict(np.concatenate([X, X[:50]]))
        target.predict(X[100:300])
        target.finish(X)
        again = {row.tobytes() for row in X[:5]}
        assert {row: n for row, n in server.seen.items() if n > 1} == dict.fromkeys(again, 3)
        assert len(server.seen) == len(X)
        assert target.counts()["sent"] == len(X) + 10
        target.close()


@pytest.mark.slow
def test_what_was_answered_is_found_again(tmp_path: Path) -> None:
    with serving() as server:
        first = endpoint(server, tmp_path)
        first.predict(X[:200])
        first.close()
        before = server.received
        second = endpoint(server, tmp_path)
        assert_array_equal(second.predict(X[:200])[0], probabilities(X[:200]))
        assert server.received == before
        assert second.counts()["found"] == 200
        second.predict(X)
        assert server.received == before + 200
        second.close()


def reset(handler: Handler, number: int) -> bool:
    """The connection breaks in the middle of the reply."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True
    handler.wfile = open("/dev/null", "wb")  # noqa: SIM115
    return True


def refuse(code: int, **headers: str) -> Any:
    def fault(handler: Handler, number: int) -> bool:
        handler.reply(code, {"error": "later"}, {name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return fault


def every_third(fault: Any) -> Any:
    return lambda handler, number: number % 3 == 2 and fault(handler, number)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [refuse(500), refuse(503), refuse(429), refuse(429, Retry_After="0"), refuse(408), reset]
)
def test_what_fails_now_and_then_is_asked_again(fault: Any, tmp_path: Path, clock: Clock) -> None:
    with serving(fault=every_third(fault)) as server:
        target = endpoint(server, tmp_path, batch=100, retries=8, probes=2)
        assert_array_equal(target.predict(X)[0], probabilities(X))
        assert target.counts()["retries"] > 0
        assert {n for row, n in server.seen.items() if row not in {r.tobytes() for r in X[:2]}} == {1}
        target.close()


@pytest.mark.slow
@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_waited_for(as_date: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    times: list[float] = []
    clock = request.getfixturevalue("clock") if as_date else None  # seconds are really waited for

    def fault(handler: Handler, number: int) -> bool:
        times.append(clock.now if clock else time.monotonic())
        if number != 1:
            return False
        after = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True) if as_date else "1"
        return bool(refuse(429, Retry_After=after)(handler, number))

    with serving(fault=fault) as server:
        target = endpoint(server, tmp_path, probes=0, concurrency=1, batch=50)
        target.predict(X)
        target.close()
    assert len(times) > 3
    assert min(moment - times[0] for moment in times[1:]) > (30 if as_date else 0.9)


def test_retry_after_is_read_as_seconds_or_date() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert delay_of("120") == 120
    assert delay_of(format_datetime(now + timedelta(seconds=90), usegmt=True), lambda: now) == 90
    assert delay_of(format_datetime(now - timedelta(seconds=90), usegmt=True), lambda: now) == 0
    assert [delay_of(text) for text in ("-5", "soon", "", None)] == [0, None, None, None]


def test_waiting_doubles_and_patience_ends() -> None:
    assert [delay_before(Again("x"), tries, 0, 8) for tries in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    with pytest.raises(AskingError, match="does not answer, in 9 tries"):
        delay_before(Again("x"), 8, 0, 8)
    with pytest.raises(AskingError, match="asks to wait 86,400 s"):
        delay_before(Again("x", 86_400.0), 0, 0, 8)


def test_who_is_told_to_come_back_is_patient() -> None:
    busy = Again("429", 0.0, counted=False, busy=True)
    assert [delay_before(busy, tries, 0, 3) for tries in range(6)] == [0, 0, 0, 0.5, 1, 2]
    with pytest.raises(AskingError, match="asks to wait 30 s, after 3,590 s"):
        delay_before(busy, 400, 3590, 3)
    untold = Again("429", None, counted=False, busy=True)
    assert [delay_before(untold, tries, 0, 3) for tries in range(6)] == [0.5, 1, 2, 4, 8, 16]
    with pytest.raises(AskingError, match="in 7 tries"):
        delay_before(untold, 6, 0, 3)
    failing = Again("503", 0.0, counted=True)
    with pytest.raises(AskingError, match="in 4 tries"):
        delay_before(failing, 3, 0, 3)


@pytest.mark.slow
def test_a_rate_limit_starves_no_request(tmp_path: Path, clock: Clock) -> None:
    """Ten requests a second for twenty-five: each batch is refused many times, and none is given up."""
    last = [-1.0]
    lock = threading.Lock()

    def fault(handler: Handler, number: int) -> bool:
        with lock:
            now = clock.now
            if now - last[0] >= 0.1:
                last[0] = now
                return False
        return bool(refuse(429, Retry_After="0")(handler, number))

    with serving(fault=fault) as server:
        target = endpoint(server, tmp_path, batch=16, concurrency=16, retries=2, probes=0)
        assert_array_equal(target.predict(X)[0], probabilities(X))
        assert server.requests < 400
        target.close()


@pytest.mark.slow
def test_a_server_that_is_gone_ends_it_and_nothing_is_lost(tmp_path: Path) -> None:
    with serving() as server:
        target = endpoint(server, tmp_path, retries=0)
        target.predict(X[:300])
    with pytest.raises(AskingError, match="does not answer, in 1 tries"):
        target.predict(X)
    target.close()
    with serving() as server:
        again = endpoint(None, tmp_path, endpoint=target.config.endpoint)
        assert len(again.store) == 300
        again.close()


@pytest.mark.slow
def test_a_slow_server_times_out(tmp_path: Path) -> None:
    with serving(delay=0.6) as server:
        target = endpoint(server, tmp_path, timeout=0.2, retries=0)
        with pytest.raises(AskingError, match=r"no answer within 0\.2 s"):
            target.predict(X[:10])
        target.close()


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 63, 64, 200, 399])
def test_a_budget_is_used_up_and_never_exceeded(most: int, tmp_path: Path) -> None:
    with serving() as server:
        for _ in range(3):
            target = endpoint(server, tmp_path, max_queries=most, probes=0, batch=48)
            with pytest.raises(BudgetSpent, match="the budget of questions is spent"):
                target.predict(X)
            target.close()
        assert server.received == most == len(server.seen)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [refuse(500), reset])
def test_tries_that_may_have_been_answered_count(fault: Any, tmp_path: Path, clock: Clock) -> None:
    with serving(fault=every_third(fault)) as server:
        target = endpoint(server, tmp_path, max_queries=300, probes=4, batch=32, retries=9)
        with pytest.raises(BudgetSpent):
            target.predict(X)
        assert server.received == 300
        assert target.counts()["sent"] == 300
        target.close()


@pytest.mark.slow
def test_refusals_by_rate_cost_nothing(tmp_path: Path, clock: Clock) -> None:
    with serving(fault=every_third(refuse(429, Retry_After="0"))) as server:
        target = endpoint(server, tmp_path, max_queries=len(X), probes=0, batch=32, retries=9)
        assert_array_equal(target.predict(X)[0], probabilities(X))
        assert sum(server.seen.values()) == len(X)
        target.close()


@pytest.mark.slow
def test_a_servers_budget_is_used_to_its_end_and_kept(tmp_path: Path) -> None:
    with serving(fault=budget_of(150)) as server:
        target = endpoint(server, tmp_path, probes=0, concurrency=1, batch=64)
        with pytest.raises(BudgetSpent, match="grants no more answers: 106 records are without one"):
            target.predict(X)  # 256 at first, to tell their kind
        assert len(target.store) == 150 == len(server.seen)
        requests = server.requests
        target.close()
        assert requests < 60
        server.fault = None
        again = endpoint(server, tmp_path, probes=0)
        assert_array_equal(again.predict(X)[0], probabilities(X))
        assert set(server.seen.values()) == {1}
        again.close()


@pytest.mark.slow
def test_a_request_that_is_too_large_is_halved(tmp_path: Path) -> None:
    def fault(handler: Handler, number: int) -> bool:
        large = len(handler.model.bodies[-1]["inputs"][0]["data"]) > 10 * X.shape[1]
        return bool(large and refuse(413)(handler, number))

    with serving(fault=fault) as server:
        target = endpoint(server, tmp_path, concurrency=1)
        assert_array_equal(target.predict(X[:100])[0], probabilities(X[:100]))
        target.close()


def secret_endpoint(server: ModelServer, folder: Path, **keys: Any) -> Endpoint:
    config = TargetConfig(endpoint=server.url, model="clf", **keys)
    return Endpoint(config, Form(dataset()), folder, {"TOKEN": "wrong-secret", "GOOD": "right-secret"})


@pytest.mark.slow
def test_a_token_is_sent_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("# ours\nX-Tenant: ward-7\n")
    with serving(headers={"Authorization": "Bearer right-secret", "X-Tenant": "ward-7"}) as server:
        wrong = secret_endpoint(server, tmp_path, token_env="TOKEN", headers_file=str(tmp_path / "headers"))
        with pytest.raises(TargetError, match="does not let us ask") as caught:  # the server echoes what it got
            wrong.predict(X[:10])
        assert "wrong-secret" not in str(caught.value)
        assert "***" in str(caught.value)
        wrong.close()
        assert server.requests == 0
        right = secret_endpoint(server, tmp_path, token_env="GOOD", headers_file=str(tmp_path / "headers"))
        assert_array_equal(right.predict(X[:10])[0], probabilities(X[:10]))
        right.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("answers*"))
    assert kept
    assert b"secret" not in kept
    assert b"ward-7" not in kept


def budget_of_each(budgets: dict[str, int]) -> Any:
    """A refusal of the account whose budget does not do for a request; unknown accounts are not let in."""
    lock = threading.Lock()

    def fault(handler: Handler, number: int) -> bool:
        name = handler.headers["Authorization"].removeprefix("Bearer ")
        count = len(handler.model.bodies[-1]["inputs"][0]["data"]) // X.shape[1]
        with lock:
            if budgets[name] >= count:
                budgets[name] -= count
                return False
        problem = {"type": "about:blank", "title": "Budget spent", "status": 429, "detail": "client"}
        handler.reply(429, problem, kind="problem+json")
        return True

    return fault


@pytest.mark.slow
def test_accounts_that_collude_spend_all_their_budgets(tmp_path: Path) -> None:
    budgets = {"first-account": 50, "second-account": 20, "third-account": 60}
    tokens = " ".join(budgets)
    with serving(fault=budget_of_each(budgets)) as server:
        config = TargetConfig(endpoint=server.url, model="clf", token_env="TOKENS", probes=0, batch=16)
        target = Endpoint(config, Form(dataset()), tmp_path, {"TOKENS": tokens})
        assert_array_equal(target.predict(X[:100])[0], probabilities(X[:100]))
        assert sum(budgets.values()) == 30
        with pytest.raises(BudgetSpent):
            target.predict(X[100:200])
        assert budgets == dict.fromkeys(budgets, 0)
        assert len(target.store) == 130 == len(server.seen)
        target.close()


def test_a_token_that_is_not_there_is_told_first(tmp_path: Path) -> None:
    with serving() as server:
        with pytest.raises(StudyError, match="token for the endpoint is not there"):
            secret_endpoint(server, tmp_path, token_env="NOBODY")
        with pytest.raises(StudyError, match="headers for the endpoint cannot be read"):
            secret_endpoint(server, tmp_path, headers_file=str(tmp_path / "nowhere"))
        (tmp_path / "headers").write_text("Authorization Bearer hidden")
        with pytest.raises(TargetError, match="this is no header") as caught:
            secret_endpoint(server, tmp_path, headers_file=str(tmp_path / "headers"))
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("code", [400, 404, 422])
def test_a_question_that_is_not_taken_is_not_repeated(code: int, tmp_path: Path) -> None:
    with serving(fault=refuse(code)) as server:
        target = endpoint(server, tmp_path, concurrency=1)
        with pytest.raises(TargetError, match="does not take the question"):
            target.predict(X[:10])
        assert server.requests == 1
        target.close()


@pytest.mark.parametrize(
    ("predict", "said"),
    [
        (lambda x: np.where(np.arange(len(x))[:, None] == 3, np.nan, probabilities(x)), "answers NaN"),
        (lambda x: probabilities(x)[:, :3], "does not answer as the data has classes"),
        (lambda x: probabilities(x)[:-1], "none of the protocol"),
        (lambda x: np.full(len(x), 17), "none of the data's classes"),
        (lambda x: np.full(len(x), "cat"), "none of the data's classes"),
        (lambda x: np.zeros((len(x), 0)), "does not answer as the data has classes"),
    ],
)
def test_answers_that_are_none_are_refused(predict: Any, said: str, tmp_path: Path) -> None:
    with serving(predict) as server:
        target = endpoint(server, tmp_path)
        with pytest.raises(TargetError, match=said):
            target.predict(X[:20])
        target.close()


@pytest.mark.parametrize("body", [b"<html>", b"[1, 2", b"{}", b'{"outputs": 3}', b"[" * 100_000, b"\xff"])
def test_a_reply_that_is_none_is_refused(body: bytes, tmp_path: Path) -> None:
    def fault(handler: Handler, number: int) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return True

    with serving(fault=fault) as server:
        target = endpoint(server, tmp_path)
        with pytest.raises(TargetError, match="none of the protocol v2"):
            target.predict(X[:20])
        target.close()


def test_answers_are_private_and_whole(tmp_path: Path) -> None:
    with serving() as server:
        target = endpoint(server, tmp_path)
        target.predict(X)
        target.close()
    file = tmp_path / "answers.sqlite"
    assert file.stat().st_mode & 0o077 == 0
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert {len(row[0]) for row in connection.execute("SELECT answer FROM answers")} == {1 + 8 * 4}
    connection.close()


@pytest.mark.slow
def test_a_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving() as server:
        server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
        url = server.url.replace("http://", "https://")
        unknown = endpoint(None, tmp_path / "a", endpoint=url)
        with pytest.raises(TargetError, match="certificate is not trusted"):
            unknown.predict(X[:5])
        unknown.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        known = endpoint(None, tmp_path / "b", endpoint=url)
        assert_array_equal(known.predict(X[:5])[0], probabilities(X[:5]))
        known.close()


def self_signed(folder: Path) -> tuple[Path, Path]:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    begins = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, private.public_key(), 1, begins, begins + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    (folder / "c.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "k.pem").write_bytes(private.private_bytes(*form))
    return folder / "c.pem", folder / "k.pem"


def test_a_store_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_bytes(b"no database" * 100)
    with serving() as server:
        target = endpoint(server, tmp_path)
        with pytest.raises(MemberwiseError, match="answers cannot be kept"):
            target.predict(X[:5])
        target.close()
