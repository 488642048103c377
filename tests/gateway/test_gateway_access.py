"""Who may ask: keys, tokens of an identity provider, nobody else; and how often."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from memberwise.errors import StudyError
from memberwise.gateway.keys import new_key, revoke_key, rotate_key

if TYPE_CHECKING:
    from tests.gateway.gateways import OddServer, Served

ISSUER, AUDIENCE = "https://id.example", "digits"


class Clock:
    """Seconds since 1970, as a test likes."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def header(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_nobody_asks_without_a_key(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    served = make_served()
    good = served.key()["Authorization"]
    wrong = ["", "Bearer", "Bearer ", "Bearer mw_wrong", good[:-1], good + "x", good.replace("Bearer", "Basic")]
    wrong += ["Bearer " + "x" * 100_000, "Bearer mw_ä", good.removeprefix("Bearer "), good.upper()]
    for value in wrong:
        answer = served.ask(digits[:1], {"Authorization": value.encode("latin-1")})  # type: ignore[dict-item]
        assert answer.status_code == 401, value
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert served.ask(digits[:1], {}).status_code == 401
    assert served.ask(digits[:1], {"Authorization": good}).status_code == 200
    assert served.spent() == (1, {"alice": 1})


def test_access_is_decided_before_the_body_is_read(make_served: Callable[..., Served]) -> None:
    served = make_served({"server": {"max_bytes": 1000}})
    answer = served.client.post("/invocations", content=b"x" * 2000)
    assert answer.status_code == 401


def test_a_revoked_key_is_refused_next(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    served = make_served()
    key = served.key()
    assert served.ask(digits[:1], key).status_code == 200
    revoke_key(served.store, "alice", now=time.time())
    assert served.ask(digits[:1], key).status_code == 401


def test_an_expired_key_is_refused(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    clock = Clock()
    served = make_served(clock=clock)
    token = new_key(served.store, "alice", expires=clock.now + 60, now=clock.now)
    assert served.ask(digits[:1], header(token)).status_code == 200
    clock.now += 60
    assert served.ask(digits[:1], header(token)).status_code == 401


def test_a_rotated_key_keeps_what_is_spent(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    served = make_served({"plans": {"default": {"questions": 3}}})
    old = served.key()
    assert served.ask(digits[:2], old).status_code == 200
    new = header(rotate_key(served.store, "alice", now=time.time()))
    assert served.ask(digits[2:3], old).status_code == 401
    assert served.ask(digits[2:3], new).headers["RateLimit"] == '"questions";r=0'
    assert served.ask(digits[3:4], new).status_code == 429


def test_a_clock_set_back_grants_nothing(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    clock = Clock()
    served = make_served({"plans": {"default": {"questions": 2}}}, clock=clock)
    key = header(new_key(served.store, "alice", now=clock.now))
    assert served.ask(digits[:2], key).status_code == 200
    clock.now -= 10 * 365 * 86_400
    assert served.ask(digits[2:3], key).status_code == 429
    assert served.spent() == (2, {"alice": 2})


def test_a_plan_that_is_gone_opens_nothing(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    served = make_served()
    assert served.ask(digits[:1], served.key("old", plan="gold")).status_code == 403


def test_an_admin_key_opens_the_metrics_alone(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    served = make_served()
    key, admin = served.key(), served.key("root", kind="admin")
    served.ask(digits[:2], key)
    assert served.ask(digits[:1], admin).status_code == 403
    assert [served.client.get("/metrics", headers=h).status_code for h in ({}, key, admin)] == [401, 403, 200]
    text = served.client.get("/metrics", headers=admin).text
    assert 'memberwise_answers_total{tier="vector"} 2.0' in text
    assert 'memberwise_requests_total{protocol="v1",status="200"} 1.0' in text
    assert "alice" not in text


def test_anonymous_clients_share_one_budget(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    served = make_served({"access": {"anonymous": True}, "plans": {"default": {"questions": 3}}})
    assert served.ask(digits[:3], {}).status_code == 200
    assert served.ask(digits[3:4], {}).status_code == 429
    # A wrong key is not the same as none.
    assert served.ask(digits[:1], header("mw_wrong")).status_code == 401
    assert served.spent()[1] == {"anonymous": 3}


def test_rates_are_counted_by_client(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    served = make_served({"plans": {"default": {"rates": ["5/hour"]}}})
    alice, bob = served.key(), served.key("bob")
    statuses = [served.ask(digits[:1], alice).status_code for _ in range(8)]
    assert statuses == [200] * 5 + [429] * 3
    refused = served.ask(digits[:1], alice)
    assert refused.json()["type"].endswith("rate-exceeded")
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    assert served.ask(digits[:1], bob).status_code == 200


class Provider:
    """An identity provider with keys that rotate."""

    def __init__(self) -> None:
        self.rsa = {"one": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
        self.ec = {"curve": ec.generate_private_key(ec.SECP256R1())}

    def jwks(self) -> dict[str, Any]:
        keys = [{**RSAAlgorithm.to_jwk(k.public_key(), as_dict=True), "kid": n} for n, k in self.rsa.items()]
        keys += [{**ECAlgorithm.to_jwk(k.public_key(), as_dict=True), "kid": n} for n, k in self.ec.items()]
        return {"keys": keys}

    def token(self, kid: str = "one", algorithm: str = "RS256", **changed: Any) -> str:
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "carol", "exp": time.time() + 600} | changed
        claims = {name: value for name, value in claims.items() if value is not None}
        key = self.rsa.get(kid) or self.ec[kid]
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})


def forged(claims: dict[str, Any], public: bytes) -> str:
    """A token signed by HMAC with what everybody knows of the provider's key."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT", "kid": "one"}, claims)]
    said = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(public, said, "sha256")).rstrip(b"=")
    return (said + b"." + signature).decode()


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


@pytest.fixture
def with_tokens(make_served: Callable[..., Served], odd_server: OddServer, provider: Provider) -> Served:
    odd_server.says(provider.jwks())
    access = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": f"{odd_server.url}/keys", "plan": "tier"}
    plans = {"gold": {"questions": 9, "rates": ["1000/second"]}}
    return make_served({"access": {"jwt": access}, "plans": plans})


def test_tokens_open_what_their_claims_say(with_tokens: Served, provider: Provider, digits: np.ndarray) -> None:
    for token in (provider.token(), provider.token("curve", "ES256")):
        assert with_tokens.ask(digits[:1], header(token)).status_code == 200
    gold = with_tokens.ask(digits[1:2], header(provider.token(sub="dora", tier="gold")))
    assert gold.headers["RateLimit"] == '"questions";r=8'
    assert with_tokens.spent()[1] == {"jwt:carol": 1, "jwt:dora": 1}
    # Keys open the gateway beside tokens.
    assert with_tokens.ask(digits[:1], with_tokens.key("carol")).status_code == 200
    assert with_tokens.spent()[1]["carol"] == 1


def test_tokens_that_are_not_right_open_nothing(with_tokens: Served, provider: Provider, digits: np.ndarray) -> None:
    good, other = provider.token(), Provider()
    public = provider.rsa["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "carol", "exp": time.time() + 600}
    wrong = [
        provider.token(aud="another"),
        provider.token(aud=None),
        provider.token(iss="https://evil.example"),
        provider.token(iss=None),
        provider.token(exp=time.time() - 60),
        provider.token(exp=None),
        provider.token(nbf=time.time() + 600),
        provider.token(sub=None),
        provider.token(sub=""),
        provider.token(sub="a\nb"),
        provider.token(sub="x" * 500),
        provider.token(tier=["gold"]),
        provider.token(algorithm="RS512"),
        provider.token(algorithm="PS256"),
        other.token(),
        jwt.encode(claims, "", algorithm="none", headers={"kid": "one"}),
        forged(claims, public),
        forged(claims, json.dumps(provider.jwks()["keys"][0]).encode()),
        jwt.encode(claims, other.rsa["one"], algorithm="RS256", headers={"kid": "nobody"}),
        good[:-4] + "AAAA",
        good.rpartition(".")[0] + ".",
        "a.b.c",
        "x",
    ]
    for number, token in enumerate(wrong):
        assert with_tokens.ask(digits[:1], header(token)).status_code == 401, number
    assert with_tokens.ask(digits[:1], header(provider.token(tier="none of the policy"))).status_code == 403
    assert with_tokens.ask(digits[:1], header(good)).status_code == 200
    assert with_tokens.spent()[0] == 1


def test_keys_of_a_provider_rotate(with_tokens: Served, odd_server: OddServer, digits: np.ndarray) -> None:
    tokens = with_tokens.gateway.serving.access.tokens
    assert tokens is not None
    clock = Clock()
    tokens.clock = clock
    before, after = Provider(), Provider()
    after.rsa = {"two": after.rsa["one"]}
    odd_server.says(before.jwks())
    assert with_tokens.ask(digits[:1], header(before.token())).status_code == 200
    odd_server.says(after.jwks())
    reads = len(odd_server.asked)
    # An unknown key has them read again, but not at every request.
    for _ in range(20):
        assert with_tokens.ask(digits[:1], header(after.token("two"))).status_code == 401
    assert len(odd_server.asked) == reads
    clock.now += 11
    assert with_tokens.ask(digits[:1], header(after.token("two"))).status_code == 200
    assert with_tokens.ask(digits[:1], header(before.token())).status_code == 401
    # A provider that is down: the keys at hand are good for a while, not for ever.
    odd_server.says(b"down", status=500)
    clock.now += 400
    assert with_tokens.ask(digits[:1], header(after.token("two"))).status_code == 200
    clock.now += 3000
    assert with_tokens.ask(digits[:1], header(after.token("two"))).status_code == 503


def test_keys_of_a_provider_come_from_a_file(
    make_served: Callable[..., Served], provider: Provider, tmp_path: Path, digits: np.ndarray
) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(provider.jwks()))
    access = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": str(tmp_path / "keys.json")}
    served = make_served({"access": {"jwt": access}})
    assert served.ask(digits[:1], header(provider.token())).status_code == 200
    with pytest.raises(StudyError, match="keys are not there"):
        make_served({"access": {"jwt": access | {"jwks": "nowhere.json"}}})


@pytest.mark.services
def test_two_gateways_count_rates_in_redis(
    make_served: Callable[..., Served], redis_url: str, monkeypatch: pytest.MonkeyPatch, digits: np.ndarray
) -> None:
    monkeypatch.setenv("RATES", redis_url)
    values = {"plans": {"default": {"rates": ["20/hour"]}}, "store": {"rates_env": "RATES"}}
    first, second = make_served(values), make_served(values)
    keys = [first.key(), second.key()]
    statuses = []
    for number in range(20):
        for served, key in zip((first, second), keys, strict=True):
            statuses.append(served.ask(digits[number : number + 1], key).status_code)
    assert statuses.count(200) == 20
    assert statuses[:20] == [200] * 20


def test_without_redis_each_gateway_counts_alone(
    make_served: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, digits: np.ndarray
) -> None:
    monkeypatch.setenv("RATES", "redis://127.0.0.1:1/0")
    served = make_served({"plans": {"default": {"rates": ["4/hour"]}}, "store": {"rates_env": "RATES"}})
    key = served.key()
    assert [served.ask(digits[:1], key).status_code for _ in range(6)] == [200] * 4 + [429] * 2
    monkeypatch.setenv("RATES", "http://127.0.0.1:1")
    with pytest.raises(StudyError, match="Redis"):
        make_served({"store": {"rates_env": "RATES"}})
