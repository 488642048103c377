"""A server behind the gateway: asked by HTTP, of whose answers nothing but the figures is taken over."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import httpx2
import numpy as np

from memberwise.defences.output.base import as_probabilities
from memberwise.errors import StudyError
from memberwise.gateway.behind import BehindError, Joined, array_records, check_answers
from memberwise.gateway.bounded import Mechanism
from memberwise.gateway.defended import Asked, AsksFurtherError, Defences, answer_bytes, fingerprint
from memberwise.gateway.policy import Policy, Upstream
from memberwise.gateway.problems import Problem
from memberwise.gateway.protocols.base import Rows
from memberwise.gateway.speech import Speech, speech_of
from memberwise.models.kinds import kind_by_range, kind_of_answers
from memberwise.targets.base import Kind, Records, Target
from memberwise.targets.replies import read_json
from memberwise.types.arrays import Array, Floats32
from memberwise.types.json import Json

# Bytes of an answer, for each figure and for all around them.
BYTES_A_FIGURE, BYTES_AROUND = 40, 65_536
# Seconds for which what is known of the server is not asked again.
READY_FOR = 2.0
JSON_TYPES = ("application/json", "application/octet-stream", "")
# Statuses that say nothing of a single request among those asked together.
OVERLOADED = (429, 502, 503, 504)


class UpstreamModel:
    """A model that another server answers for.

    Args:
        folder: of the policy, beside which the file of headers lies. secret: of the output defences.

    Raises:
        StudyError: the policy cannot be carried out: an address, a token or headers that are not there, output
            defences that need a model of this process.
    """

    columns: tuple[str, ...] | None = None
    datatype = "FP32"
    mechanism: Mechanism | None = None

    def __init__(self, config: Upstream, policy: Policy, folder: Path, secret: bytes) -> None:
        self.config, self.classes, self.shape = config, config.classes, config.shape
        self.defences = Defences(policy.answer, secret, ())
        named = config.model_dump_json(exclude={"timeout", "concurrency", "token_env", "headers_file"})
        self.fingerprint = fingerprint(named.encode(), answer_bytes(policy.answer))
        self.speech: Speech = speech_of(config)
        self.client = plain_client(config.timeout, config.concurrency, _headers(config, folder))
        self.known_kind: Kind | None = None if config.answers == "auto" else config.answers
        self.inline = True
        self._joined = Joined(self._ask, config.concurrency, policy.server.max_records)
        self._ready, self._ready_until = False, 0.0
        if self.known_kind is not None:
            self.defences.around(Asked(np.zeros((0, *self.shape), np.float32), np.zeros(0), self.known_kind))

    @property
    def kind(self) -> Kind:
        """After output defences; of a server that was never asked as if it gave probabilities."""
        model = Asked(np.zeros((0, *self.shape), np.float32), np.zeros(0), self.known_kind or "probabilities")
        kind = self.defences.around(model).kind
        return "probabilities" if kind == "logits" else kind

    def records(self, sent: Array | Rows) -> Floats32:
        """Records ``(n, *shape)`` as the server takes them."""
        x = array_records(sent, self.shape)
        if self.speech.whole and not (x == np.rint(x)).all():
            raise Problem("invalid-records", "The model takes whole numbers.")
        return x

    async def answer(self, x: Floats32) -> Array:
        return await self._joined.answer(x)

    async def ready(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now >= self._ready_until:
            self._ready, self._ready_until = await self._probe(), now + READY_FOR
        return self._ready

    async def close(self) -> None:
        await self._joined.close()
        await self.client.aclose()

    async def _probe(self) -> bool:
        try:
            async with asyncio.timeout(self.config.timeout):
                response = await self.client.get(self.speech.ready_url)
        except (httpx2.HTTPError, TimeoutError, OSError):
            return False
        return bool(response.status_code == httpx2.codes.OK)

    async def _ask(self, x: Floats32) -> Array:
        """Defended answers; defences that ask the server further do so from a thread."""
        answers = await self.raw(x)
        if self.inline:
            try:
                return self._defended(Asked(x, answers, self._kind_known()), x)
            except AsksFurtherError:
                self.inline = False
        model = _Server(self, asyncio.get_running_loop(), Asked(x, answers, self._kind_known()))
        return await asyncio.to_thread(self._defended, model, x)

    def _kind_known(self) -> Kind:
        if self.known_kind is None:
            raise BehindError("the kind of the model's answers is not known")
        return self.known_kind

    def _defended(self, model: Target, x: Floats32) -> Array:
        try:
            target = self.defences.around(model)
            answers = target.predict(x)[0]
        except (AsksFurtherError, BehindError):
            raise
        except Exception as error:
            raise BehindError(f"an output defence fails: {type(error).__name__}") from error
        if target.kind == "labels":
            return check_answers(answers, len(x), len(self.classes), "labels")
        return check_answers(as_probabilities(answers, target.kind), len(x), len(self.classes), "scores")

    async def raw(self, x: Floats32) -> Array:
        """What the server answers, checked: ``(n, classes)`` float64 or labels ``(n,)`` int64.

        Raises:
            BehindError: it is down, slow, or answers something else.
        """
        most = BYTES_AROUND + BYTES_A_FIGURE * len(x) * max(len(self.classes), 8)
        try:
            async with asyncio.timeout(self.config.timeout):
                values = await self._post(self.speech.ask_url, self.speech.question(x), most)
        except (TimeoutError, httpx2.TimeoutException):
            raise BehindError("the server behind the gateway is slow", "slow-answer") from None
        except (httpx2.HTTPError, OSError) as error:
            raise BehindError(f"no connection to the server: {type(error).__name__}", one=False) from None
        answers = self.speech.answers(values, len(x), self.classes, self.known_kind)
        answers = check_answers(answers, len(x), len(self.classes), self.known_kind)
        if self.known_kind is None:
            self.known_kind = "labels" if answers.ndim == 1 else kind_by_range(answers)
        elif (
            self.known_kind == "logits"
            and self.config.answers == "auto"
            and kind_of_answers(answers) == "probabilities"
        ):
            raise BehindError("the model's answers are probabilities, and were logits before")
        return answers

    async def _post(self, url: str, body: bytes, most: int) -> Json:
        async with self.client.stream("POST", url, content=body) as response:
            if response.status_code != httpx2.codes.OK:
                raise BehindError(
                    f"the server answers {response.status_code}", one=response.status_code not in OVERLOADED
                )
            if response.headers.get("content-type", "").partition(";")[0].strip() not in JSON_TYPES:
                raise BehindError("the server answers no JSON")
            content = await limited(response, most)
        try:
            return read_json(content)
        except ValueError:
            raise BehindError("the server's answer is no JSON") from None


class _Server(Target):
    """The server as a target that output defences ask, from a thread beside the loop."""

    def __init__(self, model: UpstreamModel, loop: asyncio.AbstractEventLoop, answered: Asked) -> None:
        self.model, self.loop, self.answered, self.kind = model, loop, answered, answered.kind

    def __len__(self) -> int:
        return 1

    def predict(self, x: Records) -> Array:
        if x is self.answered.x:
            return self.answered.predict(x)
        records = np.asarray(x, np.float32)
        return asyncio.run_coroutine_threadsafe(self.model.raw(records), self.loop).result()[None]


def plain_client(timeout: float, connections: int = 4, headers: Mapping[str, str] | None = None) -> httpx2.AsyncClient:
    """A client that follows no redirect, reads nothing from the environment, and asks for no compression."""
    return httpx2.AsyncClient(
        headers={"Accept-Encoding": "identity", "Accept": "application/json", **(headers or {})},
        timeout=httpx2.Timeout(timeout),
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=False,
        trust_env=False,
        verify=ssl.create_default_context(),
    )


async def limited(response: httpx2.Response, most: int) -> bytes:
    """An answer's bytes as they come.

    Raises:
        BehindError: they are more than ``most``, or compressed.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise BehindError("the server compresses its answer, unasked")
    parts, size = [], 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > most:
            raise BehindError("the server's answer is too large")
        parts.append(part)
    return b"".join(parts)


def _headers(config: Upstream, folder: Path) -> dict[str, str]:
    """Of every question to the server: the token and further ones, which nothing else ever says."""
    headers = {"Content-Type": "application/json"}
    if config.headers_file is not None:
        headers |= _read_headers(folder / config.headers_file)
    if config.token_env is not None:
        token = os.environ.get(config.token_env, "").strip()
        if not token or not token.isascii() or not token.isprintable():
            raise StudyError(
                "the token of the server behind the gateway is not there",
                expected=f"the environment variable {config.token_env}",
                where="upstream.token_env",
            )
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _read_headers(path: Path) -> dict[str, str]:
    try:
        lines = [line for line in path.read_text("ascii").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise StudyError(
            "the file of headers cannot be read", found=type(error).__name__, where=f"upstream.headers_file: {path}"
        ) from None
    pairs = [line.partition(":") for line in lines]
    if not all(colon and name.strip() and " " not in name.strip() for name, colon, _ in pairs):
        raise StudyError("the file of headers has other lines", expected="Name: value", where=str(path))
    return {name.strip(): value.strip() for name, _, value in pairs}
