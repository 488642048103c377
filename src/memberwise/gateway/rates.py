"""Rates: how many requests in a time, counted in memory, or in Redis for several gateways."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from limits.limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from limits.util import parse

from memberwise.errors import MissingExtraError, StudyError
from memberwise.gateway.policy import Plan, StoreConfig
from memberwise.gateway.problems import Problem

# Seconds that Redis may take before requests are counted here instead, and for which it is then left alone.
REDIS_TIMEOUT, REDIS_PAUSE = 0.5, 5.0


class Rates:
    """Counts of requests, by client.

    Where Redis does not answer, each gateway counts by itself until it does: clients are not refused for it, and the
    durable budgets do not depend on it.

    Args:
        warn: is told in a sentence what goes wrong.

    Raises:
        StudyError: the environment variable that the policy names holds no address of Redis.
    """

    def __init__(
        self,
        config: StoreConfig,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self.warn, self.clock = config, warn, clock
        self.here = SlidingWindowCounterRateLimiter(MemoryStorage())
        self.shared = None if config.rates_env is None else _redis(config.rates_env)
        self.left_alone_until = -math.inf

    async def take(self, client: str, plan: Plan) -> None:
        """Count one request.

        Raises:
            Problem: it is one too many.
        """
        for rate in plan.rates:
            item = _item(rate)
            if not await self._hit(item, client):
                raise Problem("rate-exceeded", headers={"Retry-After": str(await self._wait(item, client))})

    async def close(self) -> None:
        """Give the connections to Redis back."""
        if self.shared is not None:
            await self.shared.storage.bridge.storage.aclose()

    async def _hit(self, item: RateLimitItem, client: str) -> bool:
        if self.shared is not None and self.clock() >= self.left_alone_until:
            try:
                return bool(await self.shared.hit(item, client))
            except Exception as error:
                self._leave_alone(error)
        return self.here.hit(item, client)

    async def _wait(self, item: RateLimitItem, client: str) -> int:
        """Seconds until the client may ask again, at most."""
        try:
            if self.shared is not None and self.clock() >= self.left_alone_until:
                stats = await self.shared.get_window_stats(item, client)
            else:
                stats = self.here.get_window_stats(item, client)
        except Exception as error:
            self._leave_alone(error)
            return int(item.get_expiry())
        return int(max(1, min(item.get_expiry(), math.ceil(stats.reset_time - time.time()))))

    def _leave_alone(self, error: Exception) -> None:
        self.left_alone_until = self.clock() + REDIS_PAUSE
        self.warn(f"Redis does not answer ({type(error).__name__}): rates are counted by this gateway alone")


@lru_cache(maxsize=256)
def _item(rate: str) -> RateLimitItem:
    return parse(rate.replace(" ", ""))


def _redis(variable: str) -> Any:
    url = os.environ.get(variable)
    if not url or not url.startswith(("redis://", "rediss://", "redis+unix://")):
        raise StudyError(
            "the address of Redis is not there",
            expected=f"redis://... in the environment variable {variable}",
            found="nothing" if not url else "something else",
            where="store.rates_env",
        )
    try:
        import redis  # noqa: F401
    except ImportError:
        raise MissingExtraError.of("redis", "serve-many", "counting rates over several gateways") from None
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import SlidingWindowCounterRateLimiter as SharedLimiter

    options: dict[str, Any] = {"socket_timeout": REDIS_TIMEOUT, "socket_connect_timeout": REDIS_TIMEOUT}
    return SharedLimiter(RedisStorage(f"async+{url}", implementation="redispy", **options))
