"""``memberwise evidence``: the evidence pack of a run, and its verification."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from memberwise.cli.guard import guarded


class PackFirst(TyperGroup):
    """``evidence RUN`` makes a pack; ``evidence verify PACK`` is a verb of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["pack", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=PackFirst, help="Evidence of an audit: make a pack (evidence RUN), or verify one.")


@app.command("pack")
def pack(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    sign: Annotated[Path | None, typer.Option("--sign", help="Sign with this ed25519 key (PEM).")] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make the key, and KEY.pub beside it, first.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="The pack's folder; RUN/evidence by default.")] = None,
    redact: Annotated[bool, typer.Option("--redact", help="Nothing about single records.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks.")] = False,
) -> None:
    """Make a pack: evidence pack RUN, or evidence RUN."""
    with guarded(debug):
        from datetime import UTC, datetime

        from memberwise.errors import MissingExtraError, StudyError
        from memberwise.publishing.annex import NO_CLAIM
        from memberwise.publishing.evidence import FOLDER, MANIFEST, make_pack

        if new_key:
            if sign is None:
                raise StudyError("a new key has no place", expected="--sign KEY --new-key")
            try:
                from memberwise.store.signing import make_key_pair
            except ImportError as error:
                raise MissingExtraError.of(error.name or "cryptography", "evidence", "a signature") from None
            typer.echo(f"memberwise: made {sign} and {make_key_pair(sign)}")
        made = make_pack(run, out or run / FOLDER, datetime.now(UTC), key=sign, redact=redact)
        typer.echo(f"Evidence: {made} ({MANIFEST}: SHA-256 of every file{', signed' if sign else ', not signed'})")
        typer.echo(NO_CLAIM)


@app.command("verify")
def verify(
    folder: Annotated[Path, typer.Argument(help="A pack, or the run that holds it.", show_default=False)],
    key: Annotated[Path | None, typer.Option("--key", help="The public key (PEM) that must have signed.")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="The run folder, where the pack lies elsewhere.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks.")] = False,
) -> None:
    """Verify a pack: exit code 0 if every file is as it was, 1 if not."""
    with guarded(debug):
        from memberwise.publishing.evidence import verify_pack

        verified = verify_pack(folder, key, run)
        for problem in verified.problems:
            typer.echo(f"memberwise: {problem}", err=True)
        if verified.problems:
            raise typer.Exit(1)
        typer.echo(f"{verified.files} files of the pack are as they were.")
        if verified.run_files is None:
            typer.echo("The run's own files were not compared: --run RUN.")
        else:
            typer.echo(f"{verified.run_files} files of the run are as they were.")
        if verified.signed_by is None:
            typer.echo("It is not signed: whoever changes a file can change the manifest too.")
        elif verified.known:
            typer.echo(f"Signed by the given key (sha256 {verified.signed_by}).")
        else:
            typer.echo(f"Signed by the key with sha256 {verified.signed_by}; whose it is, --key PUBLIC tells.")
