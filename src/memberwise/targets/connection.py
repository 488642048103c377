"""From a study's keys to what sends questions: the address, the protocol, headers and tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from memberwise.errors import StudyError
from memberwise.study.address import shown_address
from memberwise.study.entrypoint import is_entrypoint, load_entrypoint
from memberwise.study.target import TargetConfig
from memberwise.targets.protocols.base import Signature
from memberwise.targets.protocols.custom import FunctionSender
from memberwise.targets.protocols.registry import PROTOCOLS
from memberwise.targets.sending import HttpSender, Sender, read_headers

# Requests under way at once, where the study does not say: a server's, and a function's, which may not like threads.
CONCURRENCY, OF_FUNCTIONS = 4, 1


def tokens_of(config: TargetConfig, environment: Mapping[str, str]) -> list[str]:
    """Bearer tokens: one, or those of several accounts, apart by spaces or lines.

    Raises:
        StudyError: the variable is not there.
    """
    if config.token_env is None:
        return []
    tokens = (environment.get(config.token_env) or "").split()
    if not tokens:
        raise StudyError(
            "the token for the endpoint is not there",
            expected=f"the environment variable {config.token_env}",
            where="target.token_env",
            fix=f"export {config.token_env}=...; the variable's name stands in the study, the token does not",
        )
    return tokens


def headers_of(config: TargetConfig) -> dict[str, str]:
    """Further headers of every request.

    Raises:
        StudyError: the file is not there.
    """
    text = None
    if config.headers_file is not None:
        try:
            text = Path(config.headers_file).read_text("utf-8")
        except (OSError, ValueError) as error:
            raise StudyError(
                "the headers for the endpoint cannot be read",
                found=getattr(error, "strerror", None) or "no UTF-8",
                where=f"target.headers_file ({config.headers_file})",
            ) from None
    return read_headers(text, f"target.headers_file ({config.headers_file})")


def sender_of(config: TargetConfig, headers: Mapping[str, str], tokens: Sequence[str]) -> Sender:
    """What sends a study's questions.

    Raises:
        StudyError: no address, or no function of this name. MissingExtraError: no httpx2.
    """
    address = str(config.endpoint)
    if config.protocol == "custom":
        if not is_entrypoint(address) or "://" in address:
            raise StudyError(
                "the protocol custom asks a function",
                expected="--endpoint file.py:ask, a function of records that answers for each",
                found=shown_address(address),
                where="target.endpoint",
            )
        ask = load_entrypoint(address, "target.endpoint")
        if not callable(ask):
            raise StudyError(f"{address} cannot be called", found=type(ask).__name__, where="target.endpoint")
        return FunctionSender(ask)
    if not address.startswith(("http://", "https://")):
        fix = "--protocol custom" if is_entrypoint(address) else None
        raise StudyError(
            "this is no address of a served model",
            expected="http://HOST:PORT or https://...",
            found=shown_address(address),
            where="target.endpoint",
            fix=fix,
        )
    signature = Signature(config.model, config.input, config.output, config.datatype, config.shape)
    codec = PROTOCOLS[config.protocol](address.rstrip("/"), signature)
    return HttpSender(codec, headers, config.timeout, config.concurrency or CONCURRENCY, tokens)
