"""``memberwise serve``: the gateway in one process, its policy read again on SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from memberwise.errors import StudyError
from memberwise.gateway.app import Gateway, make_app
from memberwise.gateway.loading import load_behind, policy_digest, read_policy
from memberwise.gateway.logs import LOGGER, log_to
from memberwise.gateway.policy import Policy
from memberwise.gateway.policy import Server as ServerConfig
from memberwise.gateway.protocol import timed_protocol
from memberwise.gateway.reload import Reloader
from memberwise.gateway.serving import derived
from memberwise.gateway.store import Store, store_url
from memberwise.store.secret import ensure_secret, read_secret

KEEP_ALIVE = 75
# Seconds after which a thread that computes lets another one go on: the loop must not wait for the bank's.
SWITCH = 0.0005
BACKLOG = 2048


@dataclass(frozen=True)
class Place:
    """Where the gateway listens, once it does."""

    url: str
    host: str
    port: int
    model: str


class Server(uvicorn.Server):
    """uvicorn, which says when it listens and ends with what it took answered.

    Args:
        started: is called once requests are taken.
    """

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self.announce = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.announce()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the loop's: it ends with exit code 0, and no signal is raised again."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def serve(
    path: Path,
    *,
    host: str | None = None,
    port: int | None = None,
    verify_key: Path | None = None,
    announce: Callable[[Place], None] = lambda _: None,
) -> None:
    """Serve by a policy until SIGINT or SIGTERM.

    Args:
        path: of ``policy.toml``; files that it names lie beside it.
        host, port: instead of the policy's. verify_key: the policy must be signed by this public key.
        announce: is told where it listens.

    Raises:
        StudyError: the policy cannot be carried out.
        MemberwiseError: the model or the store cannot be opened.
    """
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a policy to replace
    policy = read_policy(path, verify_key)
    folder = path.resolve().parent
    ensure_secret(folder)
    secret = read_secret(folder)
    changed = {"host": host, "port": port}
    listening = policy.server.model_copy(update={key: value for key, value in changed.items() if value is not None})
    tls = _tls(policy.server, folder)
    behind = load_behind(policy, folder, secret)
    store = Store.open(store_url(policy.store, folder))
    store.claim(derived(secret, b"store"))
    log_to()
    sys.setswitchinterval(SWITCH)
    with contextlib.closing(_socket(listening.host, listening.port)) as taken:
        app = make_app(policy, folder, store=store, behind=behind, secret=secret)
        app.state.gateway.digest = policy_digest(path)
        place = _place(listening, taken, policy, tls is not None)
        config = _config(app, policy, tls)
        reloader = Reloader(app.state.gateway, path, verify_key)
        asyncio.run(_run(Server(config, lambda: announce(place)), taken, reloader, app.state.gateway))


async def _run(server: Server, taken: socket.socket, reloader: Reloader, gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()
    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, reloader.start)
    LOGGER.info("the gateway starts", extra={"values": {"model": gateway.serving.policy.server.name}})
    await server.serve([taken])
    await reloader.finish()
    LOGGER.info("the gateway has stopped")


def _config(app: object, policy: Policy, tls: ssl.SSLContext | None) -> uvicorn.Config:
    proxies = policy.server.trusted_proxies
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=timed_protocol(policy.server.timeout),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(policy.server.timeout) + 5,
        backlog=BACKLOG,
    )
    config.load()
    config.ssl = tls
    return config


def _tls(server: ServerConfig, folder: Path) -> ssl.SSLContext | None:
    """The certificate, where the gateway speaks TLS itself."""
    if server.certificate is None and server.private_key is None:
        return None
    if server.certificate is None or server.private_key is None:
        raise StudyError("TLS needs a certificate and its private key", where="server.certificate, server.private_key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(folder / server.certificate, folder / server.private_key, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise StudyError(
            "the certificate or its private key cannot be used",
            expected="PEM files, the key without a pass phrase",
            found=type(error).__name__,
            where="server.certificate, server.private_key",
        ) from None
    return context


def _socket(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise StudyError(
            f"nothing can listen at {host}, port {port}",
            found=error.strerror or str(error),
            where="server.host, server.port",
            fix="another port: --port 0 takes a free one",
        ) from None


def _place(listening: ServerConfig, taken: socket.socket, policy: Policy, tls: bool) -> Place:
    port = taken.getsockname()[1]
    host = f"[{listening.host}]" if ":" in listening.host else listening.host
    return Place(f"{'https' if tls else 'http'}://{host}:{port}", listening.host, port, policy.server.name)
