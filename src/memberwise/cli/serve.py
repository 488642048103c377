"""``memberwise serve``: a model behind a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from memberwise.cli import options
from memberwise.cli.guard import guarded, to_stdout
from memberwise.cli.options import Text, option

if TYPE_CHECKING:
    from memberwise.gateway.server import Place


def serve(
    policy: Annotated[str, typer.Argument(help="The policy (TOML) by which to serve.", show_default=False)],
    host: Annotated[Text, option("--host", help="Address to listen at, instead of the policy's.", panel="Run")] = None,
    port: Annotated[
        int | None, option("--port", help="Port, instead of the policy's; 0 takes a free one.", panel="Run")
    ] = None,
    verify_key: Annotated[
        Text, option("--verify-key", help="Public key by which the policy must be signed.", panel="Run")
    ] = None,
    json: Annotated[bool, option("--json", help="Say where it listens as JSON.", panel="Run")] = False,
    debug: options.Debug = False,
) -> None:
    """Serve a model behind budgets, output defences and access rules, until Ctrl+C.

    The policy says which model (a run's folder, ONNX, skops) or which server behind it answers, who may ask and how
    much. SIGHUP reads it again; one with an error changes nothing.
    """
    with guarded(debug):
        _serve(policy, host, port, verify_key, json)


def _serve(policy: str, host: str | None, port: int | None, verify_key: str | None, json: bool) -> None:
    from pathlib import Path

    from memberwise.errors import MissingExtraError, StudyError

    try:
        from memberwise.gateway.server import serve as serve_policy
    except ImportError as error:
        if (error.name or "memberwise").startswith("memberwise"):
            raise
        raise MissingExtraError.of(error.name or "", "serve", "memberwise serve") from None
    if port is not None and not 0 <= port <= 65535:
        raise StudyError("this is no port", expected="0 to 65535", found=str(port), where="--port")
    serve_policy(
        Path(policy),
        host=host,
        port=port,
        verify_key=None if verify_key is None else Path(verify_key),
        announce=_as_json if json else _in_words,
    )


def _as_json(place: Place) -> None:
    import json
    import os
    from dataclasses import asdict

    to_stdout(json.dumps({**asdict(place), "pid": os.getpid()}) + "\n")


def _in_words(place: Place) -> None:
    to_stdout(f"{place.model} is served at {place.url} (Ctrl+C stops, SIGHUP reads the policy again)\n")
