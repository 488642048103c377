"""Keys: shown once, kept as digests, expired and revoked at once."""

from __future__ import annotations

import base64
import hmac
from pathlib import Path

import pytest
import sqlalchemy as sa

from memberwise.errors import StudyError
from memberwise.gateway import keys as module
from memberwise.gateway.keys import KeyClient, check_key, list_keys, new_key, revoke_key, rotate_key
from memberwise.gateway.store import Store
from memberwise.gateway.tables import keys


def test_a_key_opens_what_it_was_made_for(any_store: Store) -> None:
    token = new_key(any_store, "ann", "gold", now=1.0)
    admin = new_key(any_store, "root", now=1.0, kind="admin")
    assert check_key(any_store, token, 2.0) == KeyClient("ann", "gold", "client")
    assert check_key(any_store, admin, 2.0) == KeyClient("root", "default", "admin")
    assert token != admin
    prefix, _, random = token.partition("_")
    assert prefix == "mw"
    assert len(base64.urlsafe_b64decode(random + "=")) == 32


@pytest.mark.parametrize("wrong", ["", "mw_", "mw_" + "A" * 43, "é" * 10, "\udc80", "x" * 100_000, "a\0b"])
def test_a_wrong_key_opens_nothing(any_store: Store, wrong: str) -> None:
    token = new_key(any_store, "ann", now=1.0)
    assert check_key(any_store, wrong, 2.0) is None
    assert check_key(any_store, token[:-1], 2.0) is None
    assert check_key(any_store, token + " ", 2.0) is None


def test_a_key_is_nowhere_in_the_store(store: Store, tmp_path: Path) -> None:
    tokens = [new_key(store, "ann", now=1.0), rotate_key(store, "ann", now=2.0)]
    store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"ann" in kept
    for token in tokens:
        assert token.encode() not in kept
        assert token.removeprefix("mw_").encode() not in kept


def test_digests_are_compared_in_constant_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return hmac.compare_digest(a, b)

    class Spy:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(module, "hmac", Spy)
    token = new_key(store, "ann", now=1.0)
    assert check_key(store, token, 2.0) is not None
    assert [len(a) for a, _ in compared] == [32]


def test_an_expired_key_opens_nothing(any_store: Store) -> None:
    token = new_key(any_store, "ann", expires=10.0, now=1.0)
    assert check_key(any_store, token, 9.9) is not None
    assert check_key(any_store, token, 10.0) is None
    assert [key.state(10.0) for key in list_keys(any_store)] == ["expired"]
    # A clock that is set back does not bring it back.
    assert check_key(any_store, token, 5.0) is None
    assert [key.state(5.0) for key in list_keys(any_store)] == ["expired"]


def test_a_revoked_key_fails_at_the_next_check(any_url: str) -> None:
    gateway, operator = Store.open(any_url), Store.open(any_url)
    token = new_key(operator, "ann", now=1.0)
    assert check_key(gateway, token, 2.0) is not None
    assert revoke_key(operator, "ann", now=3.0) == 1
    assert check_key(gateway, token, 3.0) is None
    # A clock that is set back does not bring it back.
    assert check_key(gateway, token, 0.0) is None
    with pytest.raises(StudyError, match="no key named ann is valid"):
        revoke_key(operator, "ann", now=4.0)
    gateway.close()
    operator.close()


def test_rotation_keeps_the_old_key_for_its_grace(any_store: Store) -> None:
    old = new_key(any_store, "ann", "gold", now=1.0)
    new = rotate_key(any_store, "ann", 100.0, now=10.0)
    both = [check_key(any_store, token, 109.0) for token in (old, new)]
    assert both == [KeyClient("ann", "gold", "client")] * 2
    assert [check_key(any_store, token, 110.0) is None for token in (old, new)] == [True, False]
    last = rotate_key(any_store, "ann", now=50.0)
    assert [check_key(any_store, token, 50.0) is None for token in (old, new, last)] == [True, True, False]


def test_grace_never_lengthens_a_keys_life(store: Store) -> None:
    old = new_key(store, "ann", expires=20.0, now=1.0)
    new = rotate_key(store, "ann", 1000.0, now=10.0)
    assert [check_key(store, token, 20.0) for token in (old, new)] == [None, None]


def test_a_name_is_taken_while_its_key_is_valid(store: Store) -> None:
    new_key(store, "ann", now=1.0, expires=5.0)
    with pytest.raises(StudyError, match="there is a key named ann"):
        new_key(store, "ann", now=2.0, kind="admin")
    new_key(store, "ann", now=5.0)
    assert [key.name for key in list_keys(store)] == ["ann", "ann"]


@pytest.mark.parametrize("name", ["", " ", " ann", "a\nb", "a\0", "x" * 201, "anonymous", "jwt:ann", "\u202eann"])
def test_a_name_that_misleads_is_refused(store: Store, name: str) -> None:
    with pytest.raises(StudyError, match="name"):
        new_key(store, name, now=1.0)
    assert list_keys(store) == []


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "'; DROP TABLE api_keys; --", "Zoë 病院", "x" * 200])
def test_any_printable_name_is_kept_as_it_is(any_store: Store, name: str) -> None:
    token = new_key(any_store, name, now=1.0)
    client = check_key(any_store, token, 2.0)
    assert client is not None
    assert client.name == name
    assert revoke_key(any_store, name, now=3.0) == 1


def test_an_unknown_name_is_told_with_a_suggestion(store: Store) -> None:
    new_key(store, "hospital", now=1.0)
    for change in (lambda: revoke_key(store, "hospitl", now=2.0), lambda: rotate_key(store, "hospitl", now=2.0)):
        with pytest.raises(StudyError, match="did you mean hospital"):
            change()


def test_a_key_is_looked_up_by_an_index(store: Store) -> None:
    with store.reading() as connection:
        plan = connection.execute(sa.text("EXPLAIN QUERY PLAN SELECT * FROM api_keys WHERE digest = x'00'")).all()
    assert "USING INDEX" in str(plan)
    assert keys.c.digest.unique


def test_a_key_that_would_be_born_expired_is_refused(store: Store) -> None:
    with pytest.raises(StudyError, match="expired"):
        new_key(store, "ann", expires=1.0, now=1.0)
