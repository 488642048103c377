"""Keys of clients: random, shown once, of which the store keeps a digest alone."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from memberwise.errors import StudyError, did_you_mean
from memberwise.gateway.store import Store
from memberwise.gateway.tables import Row, keys

PREFIX = "mw_"
BYTES = 32
LONGEST_NAME = 200
# Names that clients have who come without a key: unnamed ones, and those of an identity provider.
ANONYMOUS = "anonymous"
JWT_PREFIX = "jwt:"

Kind = Literal["client", "admin"]


@dataclass(frozen=True)
class KeyClient:
    """Whose key it is. ``kind`` "admin" opens the status page and the metrics, and asks no questions."""

    name: str
    plan: str
    kind: Kind


@dataclass(frozen=True)
class Key:
    """What is known of a key: not the key. Times are seconds since 1970; ``revoked`` is ``expires`` where the key was
    used after it had expired."""

    name: str
    plan: str
    kind: Kind
    created: float
    expires: float | None
    revoked: float | None

    def state(self, now: float) -> Literal["valid", "expired", "revoked"]:
        """Whether the key opens anything at this time."""
        if self.revoked is not None and self.revoked != self.expires:
            return "revoked"
        if self.revoked is not None:
            return "expired"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


def new_key(
    store: Store, name: str, plan: str = "default", expires: float | None = None, *, now: float, kind: Kind = "client"
) -> str:
    """Make a key and return its token, which nothing shows again.

    Args:
        name: of the client. What was spent under this name before stays spent.
        plan: of the policy, by name.
        expires: seconds since 1970 at which the key stops to open anything; None: never.

    Raises:
        StudyError: a valid key has this name, or it is none.
    """
    _check_name(name)
    if expires is not None and expires <= now:
        raise StudyError("the key would have expired before it is used", where="--expires")
    with store.writing() as connection:
        valid = connection.execute(_valid(name, now)).first()
        if valid is not None:
            raise StudyError(
                f"there is a key named {name}",
                where="keys new",
                fix=f"another name, or: memberwise keys rotate {name}",
            )
        return _insert(connection, name, plan, kind, now, expires)


def list_keys(store: Store) -> list[Key]:
    """All keys that were ever made, oldest first."""
    columns = (keys.c.name, keys.c.plan, keys.c.kind, keys.c.created, keys.c.expires, keys.c.revoked)
    with store.reading() as connection:
        return [Key(*row) for row in connection.execute(sa.select(*columns).order_by(keys.c.id))]


def revoke_key(store: Store, name: str, *, now: float) -> int:
    """Revoke all keys of a name, from the next request on, and return how many there were.

    Raises:
        StudyError: no key of this name is left to revoke.
    """
    with store.writing() as connection:
        revoked = connection.execute(
            keys.update().where(keys.c.name == name, keys.c.revoked.is_(None)).values(revoked=now)
        ).rowcount
        if not revoked:
            raise _no_key(connection, name)
        return revoked


def rotate_key(store: Store, name: str, grace: float | None = None, *, now: float) -> str:
    """Make a new key of the same name, plan and expiry; the older ones are valid for ``grace`` seconds more.

    Raises:
        StudyError: no valid key has this name.
    """
    with store.writing() as connection:
        newest = connection.execute(_valid(name, now).order_by(keys.c.id.desc())).first()
        if newest is None:
            raise _no_key(connection, name)
        older = keys.update().where(keys.c.name == name, keys.c.revoked.is_(None))
        if grace:
            end = now + grace
            connection.execute(older.where(sa.or_(keys.c.expires.is_(None), keys.c.expires > end)).values(expires=end))
        else:
            connection.execute(older.values(revoked=now))
        return _insert(connection, name, newest.plan, newest.kind, now, newest.expires)


def check_key(store: Store, token: str, now: float) -> KeyClient | None:
    """Whose key this is; None where it is nobody's, has expired or is revoked.

    It is looked up by its digest, in one indexed read, and nothing of it is remembered: a key revoked by another
    process is refused by the next request.
    """
    return check_keys(store, [token], now)[0]


def check_keys(store: Store, tokens: Sequence[str], now: float) -> list[KeyClient | None]:
    """The same of several keys, in one read."""
    digests = [_digest(token) for token in tokens]
    with store.reading() as connection:
        rows = {bytes(row.digest): row for row in connection.execute(_LOOK_UP, {"digests": [*set(digests)]})}
    _end_expired(store, rows.values(), now)
    return [_client(rows.get(digest), digest, now) for digest in digests]


def _end_expired(store: Store, rows: Iterable[Row], now: float) -> None:
    """What was seen to have expired stays so, though the clock be set back."""
    ended = [row.id for row in rows if row.revoked is None and row.expires is not None and row.expires <= now]
    if ended:
        with store.writing() as connection:
            connection.execute(
                keys.update().where(keys.c.id.in_(ended), keys.c.revoked.is_(None)).values(revoked=keys.c.expires)
            )


def _client(row: Row | None, digest: bytes, now: float) -> KeyClient | None:
    if row is None or not hmac.compare_digest(bytes(row.digest), digest):
        return None
    if row.revoked is not None or (row.expires is not None and row.expires <= now):
        return None
    return KeyClient(row.name, row.plan, row.kind)


def is_name(name: str) -> bool:
    """Whether a client can be called so: 1 to 200 printable characters, no space around them."""
    return name == name.strip() and 0 < len(name) <= LONGEST_NAME and name.isprintable()


_LOOK_UP = sa.select(keys).where(keys.c.digest.in_(sa.bindparam("digests", expanding=True)))


def _digest(token: str) -> bytes:
    # The token is random: no salt and no slow hash make it harder to guess.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _valid(name: str, now: float) -> sa.Select[tuple[str, str, float | None]]:
    return sa.select(keys.c.plan, keys.c.kind, keys.c.expires).where(
        keys.c.name == name, keys.c.revoked.is_(None), sa.or_(keys.c.expires.is_(None), keys.c.expires > now)
    )


def _insert(connection: sa.Connection, name: str, plan: str, kind: str, now: float, expires: float | None) -> str:
    token = PREFIX + secrets.token_urlsafe(BYTES)
    connection.execute(
        keys.insert().values(name=name, plan=plan, kind=kind, digest=_digest(token), created=now, expires=expires)
    )
    return token


def _check_name(name: str) -> None:
    if not is_name(name):
        raise StudyError(
            "this is no name of a client",
            expected=f"at most {LONGEST_NAME} printable characters, no space around them",
            found=repr(name[:LONGEST_NAME]),
            where="keys new",
        )
    if name == ANONYMOUS or name.startswith(JWT_PREFIX):
        raise StudyError(
            f"the name {name} is that of clients who come without a key",
            expected=f"neither {ANONYMOUS} nor {JWT_PREFIX}...: they would share a budget",
            where="keys new",
        )


def _no_key(connection: sa.Connection, name: str) -> StudyError:
    names = set(connection.execute(sa.select(keys.c.name)).scalars())
    missing = name not in names
    return StudyError(
        f"there is no key named {name}" if missing else f"no key named {name} is valid any more",
        where="keys",
        fix=(did_you_mean(name, names) or "memberwise keys list shows them")
        if missing
        else "memberwise keys new makes another one; what was spent under the name stays spent",
    )
