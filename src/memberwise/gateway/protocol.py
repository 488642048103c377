"""HTTP as uvicorn speaks it, with time limits on whoever sends or reads too slowly."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from memberwise.gateway.problems import MEDIA_TYPE, Problem

# Seconds for the rest of an answer to leave once a connection is to end.
LINGER = 5.0


class TimedProtocol(H11Protocol):
    """Connections that send no whole request, or read no answer, for ``seconds`` are closed."""

    seconds = 30.0
    deadline: asyncio.TimerHandle | None = None
    stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._unset_keepalive_if_required()
        if self.stuck is not None:
            self.stuck.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        answered = self.cycle is None or self.cycle.response_complete
        if self.conn.their_state is h11.IDLE or (answered and self.conn.their_state is h11.SEND_BODY):
            self._arm()
        else:
            self._disarm()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.stuck is None:
            self.stuck = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.stuck is not None:
            self.stuck.cancel()
            self.stuck = None

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.loop.call_later(LINGER, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._say(Problem("invalid-request", "This is no HTTP/1.1 request."))
        self.transport.close()

    def _arm(self) -> None:
        if self.deadline is None:
            self.deadline = self.loop.call_later(self.seconds, self._too_slow)

    def _disarm(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _too_slow(self) -> None:
        self.deadline = None
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE and self.conn.their_state is h11.IDLE:
            self._say(Problem("slow-request"))
        self.transport.close()
        self.loop.call_later(LINGER, self.transport.abort)

    def _say(self, problem: Problem) -> None:
        """Write a refusal beside the state machine, which knows of no request; the connection ends with it."""
        body = problem.body()
        head = f"HTTP/1.1 {problem.status} {problem.title}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}"
        self.transport.write(f"{head}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n".encode() + body)


def timed_protocol(seconds: float) -> type[TimedProtocol]:
    """The protocol with this limit."""
    return type("TimedProtocol", (TimedProtocol,), {"seconds": seconds})
