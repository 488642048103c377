"""From a policy's file to what it serves: read, verified, and its model loaded or its upstream ready to be asked."""

from __future__ import annotations

import hashlib
from pathlib import Path

from memberwise.errors import StudyError
from memberwise.gateway.behind import Behind
from memberwise.gateway.policy import Policy, read_gateway_policy


def read_policy(path: Path, verify_key: Path | None = None) -> Policy:
    """The policy in a file, whose signature is checked where a key is given.

    Raises:
        StudyError: it cannot be read, is no policy, or is not signed by the key.
    """
    if verify_key is not None:
        from memberwise.gateway.signing import verify_policy

        return verify_policy(path, verify_key)
    return read_gateway_policy(path)


def policy_digest(path: Path) -> str:
    """The SHA-256 of a policy's file, in hexadecimal, as ``sha256sum`` prints it.

    Raises:
        StudyError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise StudyError("the policy cannot be read", found=str(error), where=str(path)) from None


def load_behind(policy: Policy, folder: Path, secret: bytes) -> Behind:
    """What answers by this policy.

    Args:
        folder: of the policy. secret: of the output defences' random numbers.

    Raises:
        MemberwiseError: the model cannot be loaded, or the policy does not fit it.
    """
    if policy.upstream is not None:
        from memberwise.gateway.upstream import UpstreamModel

        return UpstreamModel(policy.upstream, policy, folder, secret)
    from memberwise.gateway.local import local_model

    return local_model(policy, folder, secret)
