"""A browser that is signed in: a cookie that the gateway has signed, for as long as the admin key is valid."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import sqlalchemy as sa

from memberwise.gateway.keys import check_key
from memberwise.gateway.store import Store
from memberwise.gateway.tables import keys

COOKIE = "memberwise_status"
# Seconds after which the key is asked for again.
LASTS = 30 * 60


def sign_in(store: Store, token: str, secret: bytes, now: float) -> str | None:
    """The cookie's value for an admin key; None where it is none.

    Args:
        secret: of the gateway. now: seconds since 1970.

    Raises:
        StoreError: the store does not answer.
    """
    client = check_key(store, token, now)
    if client is None or client.kind != "admin":
        return None
    # The digest of 256 random bits, as the store holds it, names the key without giving it away.
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
    body = base64.urlsafe_b64encode(json.dumps({"key": digest, "ends": int(now) + LASTS}).encode())
    return f"{body.decode()}.{_signature(body, secret)}"


def is_signed_in(store: Store, cookie: str | None, secret: bytes, now: float) -> bool:
    """Whether a cookie is ours, has not ended, and its key is still valid: a revoked key ends it at once.

    Raises:
        StoreError: the store does not answer.
    """
    if cookie is None:
        return False
    body, _, signature = cookie.partition(".")
    expected = _signature(body.encode("utf-8", "surrogatepass"), secret)
    if not hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), expected.encode()):
        return False
    said = json.loads(base64.urlsafe_b64decode(body))
    if said["ends"] <= now:
        return False
    valid = sa.select(keys.c.id).where(
        keys.c.digest == bytes.fromhex(said["key"]),
        keys.c.kind == "admin",
        keys.c.revoked.is_(None),
        sa.or_(keys.c.expires.is_(None), keys.c.expires > now),
    )
    with store.reading() as connection:
        return connection.execute(valid).first() is not None


def _signature(body: bytes, secret: bytes) -> str:
    key = hashlib.blake2b(b"", key=secret, person=b"status page", digest_size=32).digest()
    return hashlib.blake2b(body, key=key, digest_size=32).hexdigest()
