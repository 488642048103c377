"""Errors become a message on standard error and an exit code; no traceback unless it is asked for."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import typer

from memberwise.errors import MemberwiseError

INTERRUPTED = 130
FAILED = 4
USAGE = 2


@contextmanager
def guarded(debug: bool = False, resume_hint: str | None = None) -> Iterator[None]:
    """Turn whatever goes wrong inside into the exit codes of design section 5."""
    try:
        yield
    except MemberwiseError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"memberwise: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("memberwise: interrupted" + (f"; {resume_hint}" if resume_hint else ""), err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, typer.Abort, SystemExit):
        raise
    except OSError as error:
        if debug:
            traceback.print_exc()
        what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        full = f"; {resume_hint}" if error.errno == errno.ENOSPC and resume_hint else ""
        typer.echo(f"memberwise: {what}{full}", err=True)
        raise typer.Exit(USAGE if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) else FAILED) from None
    except MemoryError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"memberwise: there is not enough memory: {error}", err=True)
        typer.echo("  what to do: fewer records, a smaller model or a smaller plan.stack", err=True)
        raise typer.Exit(FAILED) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"memberwise: failed: {type(error).__name__}: {error}", err=True)
        typer.echo("  what to do: run again with --debug for the traceback, and report it", err=True)
        raise typer.Exit(FAILED) from None


@contextmanager
def stdout_to_stderr(active: bool) -> Iterator[None]:
    """Whatever is printed inside, by the user's code or by worker processes too, goes to standard error."""
    if not active:
        yield
        return
    sys.stdout.flush()
    ours = os.dup(1)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(ours, 1)
        os.close(ours)


def to_stdout(text: str) -> None:
    """Write text as it is to standard output."""
    sys.stdout.write(text)
    sys.stdout.flush()
