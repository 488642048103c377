"""The policy of a served model, one document: what answers, by which output defences, who may ask, and how much."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from memberwise.errors import StudyError, did_you_mean
from memberwise.study.schema import OutputDefenceConfig

VERSION = 1
# How much an answer tells, from most to least; what comes after the last is a refusal.
Tier = Literal["vector", "top-3", "label"]
TIERS: tuple[Tier, ...] = ("vector", "top-3", "label")
ProtocolName = Literal["v2", "v1", "mlflow"]
Count = Annotated[int, Field(ge=1, le=2**53)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class ServedModel(_Part):
    """A model that this process serves by itself.

    file: relative to the policy: a run's folder or its ``target/``, an ``.onnx`` or a ``.skops`` file.
    entry: what makes the module, where the target is of a module of one's own (``file.py:name``).
    trust: output defences of one's own (``file.py:name``) whose code may be run.
    classes, shape: names of the classes and shape of one record, of ``.onnx`` and ``.skops`` files.
    """

    file: str = "."
    entry: str | None = None
    trust: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    shape: tuple[Count, ...] = ()


class Upstream(_Part):
    """A server that the gateway stands in front of.

    input, output, datatype: names of its tensors and the input's type, where its metadata do not say.
    token_env: environment variable with a bearer token for it. headers_file: further headers, ``Name: value`` a line.
    classes, shape: names of the classes, and shape of one record.
    answers: what comes back; "auto": told by the answers to the first questions.
    revision: of the model there, in words of one's own: with another one, every record is asked and paid for anew.
    """

    url: str
    protocol: ProtocolName = "v2"
    model: str | None = None
    input: str | None = None
    output: str | None = None
    datatype: str | None = None
    token_env: str | None = None
    headers_file: str | None = None
    classes: tuple[str, ...]
    shape: tuple[Count, ...]
    answers: Literal["auto", "probabilities", "logits", "scores", "labels"] = "auto"
    revision: str = ""
    timeout: Seconds = 10.0
    concurrency: Count = 64


class Server(_Part):
    """Where the gateway listens, and what it takes.

    name: the model's, in addresses. max_bytes, max_records, max_depth: of one request. timeout: seconds a request may
    take. trusted_proxies: addresses whose ``X-Forwarded-For`` is believed. certificate, private_key: PEM files, for
    TLS without a proxy.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = "model"
    max_bytes: Count = 8_000_000
    max_records: Count = 256
    max_depth: Annotated[int, Field(ge=2, le=64)] = 16
    timeout: Seconds = 30.0
    trusted_proxies: tuple[str, ...] = ()
    certificate: str | None = None
    private_key: str | None = None


class Jwt(_Part):
    """Tokens of an identity provider, as an alternative to keys.

    jwks: address or file of its public keys. client: the claim that names the client. plan: the claim that names its
    plan, if any. refresh: seconds after which the keys are read again.
    """

    issuer: str
    audience: str
    jwks: str
    client: str = "sub"
    plan: str | None = None
    algorithms: tuple[Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"], ...] = ("RS256", "ES256")
    leeway: Annotated[float, Field(ge=0, le=300)] = 10.0
    refresh: Seconds = 300.0


class Access(_Part):
    """Who may ask. Anonymous clients share one budget, under the name "anonymous"."""

    anonymous: bool = False
    jwt: Jwt | None = None


class Step(_Part):
    """From this share of a budget on, answers are of this tier."""

    above: Share
    tier: Tier


class Plan(_Part):
    """What one client is granted.

    questions: in its lifetime (records asked about for the first time; asking again costs nothing).
    nats: of information about the secret world, for ``pac``. epsilon: at ``budget.delta``, for ``pate``. Both are
    counted at the most that a question can cost.
    rates: such as "100/minute", of requests. ladder: how answers become coarser as the budget goes.
    """

    questions: Count | None = 10_000
    nats: Positive | None = None
    epsilon: Positive | None = None
    rates: tuple[str, ...] = ("600/minute",)
    ladder: tuple[Step, ...] = (Step(above=0.0, tier="vector"),)

    @field_validator("rates")
    @classmethod
    def _are_rates(cls, rates: tuple[str, ...]) -> tuple[str, ...]:
        for rate in rates:
            count, _, unit = rate.partition("/")
            if not count.strip().isdigit() or int(count) < 1 or unit.strip() not in ("second", "minute", "hour", "day"):
                raise ValueError('rates such as "100/minute" (second, minute, hour, day)')
        return rates

    @field_validator("ladder")
    @classmethod
    def _descends(cls, ladder: tuple[Step, ...]) -> tuple[Step, ...]:
        shares = [step.above for step in ladder]
        tiers = [TIERS.index(step.tier) for step in ladder]
        if not ladder or shares[0] != 0 or shares != sorted(set(shares)) or tiers != sorted(set(tiers)):
            raise ValueError("steps from above = 0 on, each further one at a larger share and of a coarser tier")
        return ladder

    def tier_at(self, share: float) -> Tier:
        """The tier when this share (0 to 1) of the budget is spent."""
        return next(step.tier for step in reversed(self.ladder) if step.above <= share)


class Neighbourhood(_Part):
    """How near records are told to be neighbours, and how many questions all clients together have about one.

    kind: "cells" of the input on shifted grids, or "image" (a perceptual hash); "auto": by the records' shape.
    step: width of a cell, in the model's input units. tables: so many shifted grids (or bands of the hash).
    questions: distinct questions within one neighbourhood; None: unlimited.
    """

    kind: Literal["auto", "cells", "image"] = "auto"
    step: Annotated[float, Field(gt=0)] = 0.25
    tables: Annotated[int, Field(ge=1, le=16)] = 4
    questions: Count | None = 50


class Budget(_Part):
    """Lifetime limits over all clients; what one client may ask is in its plan.

    total_nats, total_epsilon: as in a plan, over all clients. delta: of every epsilon. ladder: as the total goes.
    """

    total: Count | None = None
    total_nats: Positive | None = None
    total_epsilon: Positive | None = None
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    ladder: tuple[Step, ...] = (Step(above=0.0, tier="vector"),)
    neighbourhood: Neighbourhood = Neighbourhood()


class Watch(_Part):
    """What looks like an attack: alarms, and whether they lower the client's tier.

    window: so many last questions of a client are looked at. near_duplicates, boundary, repeats: shares of them (0 to
    1) above which there is an alarm. lower: the tier of a client with an alarm; None: alarms only.
    """

    window: Annotated[int, Field(ge=20, le=100_000)] = 200
    near_duplicates: Share = 0.3
    boundary: Share = 0.3
    repeats: Share = 0.5
    lower: Tier | None = None


class StoreConfig(_Part):
    """Where budgets, keys and the ledger are kept. url_env: environment variable with the address, where it holds a
    password. rates: "memory", or the environment variable's name with a Redis address (several gateways)."""

    url: str | None = "sqlite:///gateway.sqlite"
    url_env: str | None = None
    rates_env: str | None = None


class Policy(_Part):
    """The whole document (``policy.toml``)."""

    version: Literal[1] = 1
    answer: tuple[OutputDefenceConfig, ...] = ()
    model: ServedModel | None = None
    upstream: Upstream | None = None
    server: Server = Server()
    access: Access = Access()
    plans: dict[str, Plan] = {"default": Plan()}
    budget: Budget = Budget()
    watch: Watch = Watch()
    store: StoreConfig = StoreConfig()

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if self.model is not None and self.upstream is not None:
            raise ValueError("[model] or [upstream], not both")
        return self

    @field_validator("plans")
    @classmethod
    def _has_default(cls, plans: dict[str, Plan]) -> dict[str, Plan]:
        if "default" not in plans:
            raise ValueError("a plan named default, for keys that name none")
        return plans


def parse_policy(values: Mapping[str, object], where: str) -> Policy:
    """The document from plain values.

    Raises:
        StudyError: an unknown key, or a value that is out of range.
    """
    try:
        return Policy.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the document"
        # A whole table is not shown: an address in it may hold a password.
        value = None if isinstance(first["input"], dict) else repr(first["input"])[:80]
        if first["type"] == "extra_forbidden":
            raise StudyError(
                f"the policy has an unknown key: {key}",
                found=value,
                where=where,
                fix=did_you_mean(str(first["loc"][-1]), _keys(Policy)),
            ) from None
        message = first["msg"].removeprefix("Value error, ")
        raise StudyError(f"the policy cannot be read: {key}", expected=message, found=value, where=where) from None


def _keys(model: type[BaseModel]) -> set[str]:
    """All keys of a document, of its parts too."""
    parts = {part for part in _Part.__subclasses__() if part is not model}
    return {name for part in (model, *parts) for name in part.model_fields}


def read_gateway_policy(path: Path) -> Policy:
    """The document from its file.

    Raises:
        StudyError: it is not there, is no TOML, or no policy.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError("the policy cannot be read", found=str(error), where=str(path)) from None
    return parse_policy(values, str(path))
