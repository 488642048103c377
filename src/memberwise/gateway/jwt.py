"""Tokens of an identity provider: checked by PyJWT, with public keys that are read again as they rotate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jwt

from memberwise.errors import StudyError
from memberwise.gateway.keys import JWT_PREFIX, LONGEST_NAME, is_name
from memberwise.gateway.policy import Jwt
from memberwise.gateway.problems import Problem
from memberwise.targets.replies import read_json
from memberwise.types.json import Json, JsonObject, list_of, object_of

# Seconds between two readings of the keys, whatever key a token names: nobody makes the gateway ask more often.
LEAST = 10.0
# Keys that could not be read again are good for so many times ``refresh``.
STALE = 10
LARGEST, TIMEOUT = 1_000_000, 5.0


class Tokens:
    """Checks of bearer tokens.

    Args:
        folder: of the policy; a file of keys lies beside it.
        now: seconds since 1970, for tokens' expiry. clock: for the age of the keys.
    """

    def __init__(
        self,
        config: Jwt,
        folder: Path,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self.folder, self.now, self.clock = config, folder, now, clock
        self.keys: dict[str | None, jwt.PyJWK] = {}
        self.read_at: float | None = None
        self.tried_at: float | None = None
        self.lock = asyncio.Lock()
        if not config.jwks.startswith(("https://", "http://")) and not (folder / config.jwks).is_file():
            raise StudyError("the identity provider's keys are not there", found=config.jwks, where="access.jwt.jwks")

    async def claims(self, token: str) -> Mapping[str, object]:
        """What a token says, once it is checked.

        Raises:
            Problem: it is not valid, or the provider's keys cannot be read.
        """
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in self.config.algorithms or not isinstance(header.get("kid", ""), str):
                raise _refused()
            key = await self._key(header.get("kid"))
            claims: Mapping[str, object] = jwt.decode(
                token,
                key,
                algorithms=list(self.config.algorithms),
                audience=self.config.audience,
                issuer=self.config.issuer,
                leeway=self.config.leeway,
                options={"require": ["exp", "iss", "aud", self.config.client]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise _refused() from None
        return claims

    async def _key(self, kid: str | None) -> jwt.PyJWK:
        if self._older_than(self.config.refresh) or kid not in self.keys:
            async with self.lock:
                if (self._older_than(self.config.refresh) or kid not in self.keys) and self._may_try():
                    await self._read()
        if self._older_than(self.config.refresh * STALE):
            raise Problem("unavailable", "Tokens cannot be checked at present.")
        if kid not in self.keys:
            raise _refused()
        return self.keys[kid]

    def _older_than(self, seconds: float) -> bool:
        return self.read_at is None or self.clock() - self.read_at > seconds

    def _may_try(self) -> bool:
        return self.tried_at is None or self.clock() - self.tried_at > LEAST

    async def _read(self) -> None:
        """Read the keys again; those at hand stay where that fails."""
        self.tried_at = self.clock()
        try:
            if self.config.jwks.startswith(("https://", "http://")):
                text = await _fetched(self.config.jwks)
            else:
                text = (self.folder / self.config.jwks).read_bytes()
            self.keys = _by_id(read_json(text), self.config.algorithms)
            self.read_at = self.clock()
        except Exception:  # whatever the provider sends
            return


def client_name(claims: Mapping[str, object], claim: str) -> str:
    """The client that a token names.

    Raises:
        Problem: the claim is no plain text.
    """
    name = claims.get(claim)
    if not isinstance(name, str) or len(JWT_PREFIX + name) > LONGEST_NAME or not is_name(name):
        raise _refused()
    return name


def _by_id(values: Json, algorithms: tuple[str, ...]) -> dict[str | None, jwt.PyJWK]:
    """Public keys by their ``kid``, one whose algorithm is allowed; others are left out."""
    keys: dict[str | None, jwt.PyJWK] = {}
    for one in map(object_of, list_of(object_of(values)["keys"])):
        try:
            key = jwt.PyJWK(one, _algorithm(one, algorithms))
        except (jwt.PyJWTError, ValueError):
            continue
        if key.public_key_use in (None, "sig") and key.algorithm_name in algorithms:
            keys[key.key_id] = key
    if not keys:
        raise ValueError("no key that is allowed")
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))  # for tokens that name none
    return keys


def _algorithm(key: JsonObject, algorithms: tuple[str, ...]) -> str | None:
    """The key's own algorithm; of an RSA key that names none the first one of the policy that fits."""
    if "alg" in key:
        return str(key["alg"])
    return next((name for name in algorithms if name[:2] in ("RS", "PS")), None) if key.get("kty") == "RSA" else None


async def _fetched(url: str) -> bytes:
    import httpx2

    from memberwise.gateway.upstream import limited, plain_client

    async with plain_client(TIMEOUT) as client, client.stream("GET", url) as response:
        if response.status_code != httpx2.codes.OK:
            raise ValueError("no keys")
        return await limited(response, LARGEST)


def _refused() -> Problem:
    return Problem("unauthorised", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
