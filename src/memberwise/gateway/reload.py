"""Another policy without a stop: read on SIGHUP, taken over whole or not at all."""

from __future__ import annotations

import asyncio
from pathlib import Path

from memberwise.errors import MemberwiseError
from memberwise.gateway.app import Gateway
from memberwise.gateway.behind import Behind
from memberwise.gateway.loading import load_behind, policy_digest, read_policy
from memberwise.gateway.logs import LOGGER, where_raised
from memberwise.gateway.policy import Policy

# What a running process cannot change.
FIXED = ("host", "port", "timeout", "trusted_proxies", "certificate", "private_key")


class Reloader:
    """Reads the policy again when it is told to; one that cannot be carried out changes nothing.

    Args:
        path: of the policy. verify_key: by which it must be signed.
    """

    def __init__(self, gateway: Gateway, path: Path, verify_key: Path | None) -> None:
        self.gateway, self.path, self.verify_key = gateway, path, verify_key
        self.task: asyncio.Task[None] | None = None
        self.again = False

    def start(self) -> None:
        """Begin to read; what arrives in between is done once more afterwards."""
        if self.task is not None and not self.task.done():
            self.again = True
            return
        self.task = asyncio.get_running_loop().create_task(self._work())

    async def finish(self) -> None:
        """Wait for what was begun."""
        if self.task is not None:
            await asyncio.gather(self.task, return_exceptions=True)

    async def reload(self) -> bool:
        """Read the policy and serve by it from the next request on; False where the old one stays."""
        counts = self.gateway.metrics.reloads
        try:
            policy, behind, digest = await asyncio.to_thread(self._load)
        except Exception as error:
            counts.labels("kept").inc()
            LOGGER.error("the policy in force stays", extra={"values": _plainly(error)})
            return False
        try:
            self.gateway.change(policy, behind)
            self.gateway.digest = digest
        except Exception as error:
            await behind.close()
            counts.labels("kept").inc()
            LOGGER.error("the policy in force stays", extra={"values": _plainly(error)})
            return False
        counts.labels("changed").inc()
        LOGGER.info("another policy is in force")
        return True

    async def _work(self) -> None:
        while True:
            self.again = False
            await self.reload()
            if not self.again:
                return

    def _load(self) -> tuple[Policy, Behind, str]:
        policy = read_policy(self.path, self.verify_key)
        old = self.gateway.serving.policy
        fixed = [f"server.{name}" for name in FIXED if getattr(policy.server, name) != getattr(old.server, name)]
        if (policy.store.url, policy.store.url_env) != (old.store.url, old.store.url_env):
            fixed.append("store.url")
        if fixed:
            LOGGER.warning("some changes take effect at the next start", extra={"values": {"keys": fixed}})
        return policy, load_behind(policy, self.gateway.folder, self.gateway.secret), policy_digest(self.path)


def _plainly(error: Exception) -> dict[str, object]:
    """What was wrong, without the values that were found."""
    if isinstance(error, MemberwiseError):
        return {"problem": error.problem, "expected": error.expected, "where": error.where}
    return where_raised(error)
