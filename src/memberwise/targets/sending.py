"""One question sent, and what came of it: an answer, another try, a refusal, or the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol

from memberwise.errors import MemberwiseError, MissingExtraError, TargetError, TrainingError
from memberwise.study.address import shown_address
from memberwise.targets.protocols.base import Codec, Outputs, Sent, UnknownForm
from memberwise.targets.replies import read_json
from memberwise.types.json import Json

if TYPE_CHECKING:
    import httpx2

# So much of a reply is shown in an error.
SHOWN = 200
TOO_LARGE = 413
TOO_MANY = 429
WHERE = "target.endpoint"
CERTIFICATE = "the authority's certificate in a file (PEM), and SSL_CERT_FILE=that file in the environment"
REDIRECT = "give that address: a token is sent to nobody else than whom the study names"


class NotTaken(TargetError, TrainingError):
    """The server does not take these records. Of a collector's altered ones: the model cannot be asked so."""

    exit_code = 2


@dataclass(frozen=True)
class Answered:
    """``outputs`` by name; ``seconds`` it took."""

    outputs: Outputs
    seconds: float


@dataclass(frozen=True)
class Again:
    """It may work later: after ``delay`` seconds, where the server says so.

    counted: it may have been answered. busy: the server says that it is asked too often.
    """

    why: str
    delay: float | None = None
    counted: bool = True
    busy: bool = False


@dataclass(frozen=True)
class Refused:
    """The server does not answer this question: a budget of its own is spent. too_large: fewer records may do."""

    why: str
    too_large: bool = False


@dataclass(frozen=True)
class Failed:
    """No further try would help."""

    error: MemberwiseError


Outcome = Answered | Again | Refused | Failed


class Sender(Protocol):
    """Sends questions; called from several threads."""

    def send(self, records: Sent) -> Outcome:
        """One try, about ``(n, ...)`` records."""
        ...

    def close(self) -> None: ...


class HttpSender:
    """Asks over HTTP.

    Args:
        headers: with every request; their values are secrets. timeout: seconds.
        tokens: of accounts that ask in turn, as clients do who collude; one whose budget is spent asks no more.
    """

    def __init__(
        self,
        codec: Codec,
        headers: Mapping[str, str],
        timeout: float,
        connections: int,
        tokens: Sequence[str] = (),
    ) -> None:
        try:
            import httpx2
        except ImportError:
            raise MissingExtraError.of("httpx2", "endpoint", "a served model") from None
        self.library = httpx2
        self.codec, self.secrets = codec, [value for value in headers.values() if len(value) >= 4]
        self.secrets += [token for token in tokens if len(token) >= 4]
        self.tokens, self.turn, self.lock = list(tokens), 0, threading.Lock()
        self.secrets += [value.partition(" ")[2] for value in headers.values() if len(value.partition(" ")[2]) >= 4]
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        try:
            _ = [httpx2.Headers({"Authorization": token}).raw[0][1].decode("ascii") for token in tokens]
            self.client = httpx2.Client(headers=dict(headers), timeout=timeout, limits=limits)
        except (ValueError, UnicodeError):
            raise TargetError("a header or the token cannot be sent", expected="plain text", where=WHERE) from None

    def send(self, records: Sent) -> Outcome:
        """One try, about ``(n, ...)`` records."""
        outcome: Outcome = Refused("no account has any budget left")
        for token in self._accounts():
            outcome = self._sent(records, token)
            if not isinstance(outcome, Refused) or outcome.too_large:
                return outcome
            if len(records) == 1 and token is not None:
                self._is_spent(token)
        return outcome

    def _accounts(self) -> list[str | None]:
        """Tokens in the order in which they are to be tried, each request beginning with another."""
        with self.lock:
            self.turn += 1
            first = self.turn % max(1, len(self.tokens))
            return [*self.tokens[first:], *self.tokens[:first]] or [None]

    def _is_spent(self, token: str) -> None:
        """Of several accounts this one asks no more; the last one may be granted more later."""
        with self.lock:
            if token in self.tokens and len(self.tokens) > 1:
                self.tokens.remove(token)

    def _sent(self, records: Sent, token: str | None) -> Outcome:
        request = self.codec.request(records)
        begun = time.perf_counter()
        reply = self._post("POST", request.address, request.body, token)
        if not isinstance(reply, self.library.Response):
            return reply
        outcome = self._judged(reply)
        if outcome is not None:
            return outcome
        try:
            outputs = self.codec.outputs(read_json(reply.content), len(records))
        except ValueError as error:
            what = str(error) if isinstance(error, UnknownForm) else "no JSON"
            return Failed(
                TargetError(
                    f"the server's reply is none of the protocol {self.codec.name}",
                    found=f"{what}: {self._shown(reply)}",
                    where=shown_address(request.address),
                    fix="another --protocol, or --protocol custom --endpoint file.py:ask",
                )
            )
        return Answered(outputs, time.perf_counter() - begun)

    def fetch(self, method: str, address: str) -> Json:
        """A JSON document of the server, None where it has none there.

        Raises:
            TargetError: the address cannot be asked.
        """
        reply = self._post(method, address, b"{}" if method == "POST" else b"", self._accounts()[0])
        if isinstance(reply, self.library.Response):
            try:
                return read_json(reply.content) if reply.status_code == 200 else None
            except ValueError:
                return None
        if isinstance(reply, Failed):
            raise reply.error
        return None  # the questions will tell

    def close(self) -> None:
        self.client.close()

    def _post(self, method: str, address: str, body: bytes, token: str | None) -> httpx2.Response | Again | Failed:
        http = self.library
        headers = {"Content-Type": "application/json"} if body else {}
        headers |= {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            return self.client.request(method, address, content=body or None, headers=headers)
        except (http.ConnectError, http.ConnectTimeout) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                problem, location = "the server's certificate is not trusted", self._safe(str(error))
                return Failed(TargetError(problem, found=location, where=shown_address(address), fix=CERTIFICATE))
            return Again(self._safe(f"no connection ({error})"), counted=False)
        except http.TimeoutException as error:
            return Again(f"no answer within {self.client.timeout.read} s ({type(error).__name__})")
        except (http.InvalidURL, http.UnsupportedProtocol, UnicodeError) as error:
            return Failed(
                TargetError(
                    "the address of the endpoint cannot be asked",
                    expected="http://HOST:PORT or https://...",
                    found=self._safe(f"{shown_address(address)} ({error})"),
                    where=WHERE,
                )
            )
        except http.HTTPError as error:
            return Again(self._safe(f"the connection broke ({type(error).__name__}: {error})"))

    def _judged(self, reply: httpx2.Response) -> Outcome | None:
        """What became of a question that was not answered; None where it was."""
        code = reply.status_code
        if 200 <= code < 300:
            return None
        text = f"{code} {reply.reason_phrase}: {self._shown(reply)}"
        if code == TOO_MANY:
            delay = delay_of(reply.headers.get("retry-after"))
            if delay is None and is_budget(reply.headers.get("content-type", ""), reply.content):
                return Refused(text)
            return Again(text, delay, counted=False, busy=True)
        if code == TOO_LARGE:
            return Refused(text, too_large=True)
        if code == 408 or code >= 500:
            return Again(text, delay_of(reply.headers.get("retry-after")))
        fix = {
            401: "a token: --set target.token_env=NAME of an environment variable",
            403: "a token that may ask: --set target.token_env=NAME of an environment variable",
            404: "the model's name (target.model), or the address",
        }.get(code, "target.protocol, target.input, target.datatype, target.records: as the server takes records")
        where = shown_address(str(reply.request.url))
        if code < 400:
            to = shown_address(reply.headers.get("location", ""))
            return Failed(TargetError("the server sends us elsewhere", found=f"{code} {to}", where=where, fix=REDIRECT))
        if code in (401, 403, 407):
            return Failed(TargetError("the server does not let us ask", found=text, where=where, fix=fix))
        return Failed(NotTaken("the server does not take the question", found=text, where=where, fix=fix))

    def _shown(self, reply: httpx2.Response) -> str:
        return self._safe(" ".join(reply.content[: 4 * SHOWN].decode("utf-8", "replace").split()))[:SHOWN]

    def _safe(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def delay_of(header: str | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Seconds that ``Retry-After`` asks to wait, which gives seconds or a date; None where it says nothing."""
    if header is None:
        return None
    try:
        return max(0.0, float(int(header.strip())))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError):
        return None
    date = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, (date - now()).total_seconds())


def is_budget(content_type: str, body: bytes) -> bool:
    """A refusal (RFC 9457) that speaks of a budget: it is spent, and waiting does not help."""
    if "problem+json" not in content_type:
        return False
    try:
        problem = read_json(body)
    except ValueError:
        return False
    if not isinstance(problem, Mapping):
        return False
    text = " ".join(str(problem.get(name, "")) for name in ("type", "title", "detail", "reason")).lower()
    return any(word in text for word in ("budget", "quota", "exhausted", "spent"))


def read_headers(text: str | None, where: str) -> dict[str, str]:
    """Headers of every request: the lines ``Name: value`` of a file.

    Raises:
        TargetError: a line is none; what it holds is not said.
    """
    headers = {}
    for number, line in enumerate((text or "").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or " " in name.strip() or not value.strip():
            raise TargetError("this is no header", expected="Name: value", where=f"{where}, line {number}")
        headers[name.strip()] = value.strip()
    return headers
