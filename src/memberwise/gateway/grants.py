"""What is asked of the bank, and what it grants."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from memberwise.gateway.decide import Refusal
from memberwise.gateway.keys import is_name
from memberwise.gateway.policy import Policy, Tier
from memberwise.types.arrays import Array


@dataclass(frozen=True)
class GrantRequest:
    """What a client asks.

    Attributes:
        client: its name, under which its budget is kept. plan: name of its plan.
        digests: of its records (``neighbours.digest``), n of them. cells: theirs (``neighbours.cells``), n tuples.
        wait_tier: the tier to which an alarm has lowered this client.
        cost_nats, cost_rho: of one record at most, for defences with a bound.
    """

    client: str
    plan: str
    digests: Sequence[bytes]
    cells: Sequence[tuple[bytes, ...]]
    wait_tier: Tier | None = None
    cost_nats: float = 0.0
    cost_rho: float = 0.0

    def __post_init__(self) -> None:
        if len(self.digests) != len(self.cells):
            raise ValueError(f"{len(self.digests)} digests and cells of {len(self.cells)} records")
        if not (0 <= self.cost_nats < inf and 0 <= self.cost_rho < inf):
            raise ValueError(f"a record costs {self.cost_nats} nats, rho {self.cost_rho}")
        if not is_name(self.client):
            raise ValueError("this is no name of a client, which has at most 200 printable characters")


@dataclass(frozen=True)
class Grant:
    """What was granted.

    Attributes:
        tier: of the whole response.
        stored: by record, the answer that is kept, ``(classes,)`` float64 or a label ``()`` int64; None: none yet.
        new: indices of records to be answered now, each record once (of two that are alike the first).
        remaining: questions that are left to the client; None: unlimited.
        refusal: which budget does not reach; nothing was taken then.
        records: their keys in the store. request: what was asked.
    """

    tier: Tier
    stored: list[Array | None]
    new: list[int]
    remaining: int | None
    refusal: Refusal | None
    records: Sequence[bytes] = field(repr=False)
    request: GrantRequest = field(repr=False)


@dataclass(frozen=True)
class Delivery:
    """Answers to the new records of a grant, by index: of a defence with a bound those of all its models."""

    grant: Grant
    answers: Mapping[int, Array]


def epoch_of(policy: Policy, fingerprint: str) -> bytes:
    """The name of a model under a policy's output defences, 32 bytes: with another one, answers are others.

    Args:
        fingerprint: of the model: a hash of its files, say, or an upstream's address and version.
    """
    answer = [one.model_dump_json() for one in policy.answer]
    return hashlib.blake2b(repr((answer, fingerprint)).encode(), digest_size=32, person=b"epoch").digest()


def record_key(epoch: bytes, digest: bytes) -> bytes:
    """A record's key in the store, under one model and its output defences."""
    return hashlib.blake2b(digest, key=epoch, person=b"record", digest_size=16).digest()
