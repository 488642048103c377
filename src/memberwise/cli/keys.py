"""``memberwise keys``: who may ask a served model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from memberwise.cli import options
from memberwise.cli.guard import guarded, to_stdout
from memberwise.cli.options import Text
from memberwise.cli.outcome import print_json

if TYPE_CHECKING:
    from memberwise.gateway.keys import Key
    from memberwise.gateway.policy import Policy
    from memberwise.gateway.store import Store

app = typer.Typer(help="Keys of clients that may ask a served model.", no_args_is_help=True)

PolicyFile = Annotated[str, typer.Option("--policy", help="The policy, in whose store keys are kept.")]
Name = Annotated[str, typer.Argument(help="Name of the client.", show_default=False)]
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
# A hundred years: what is longer is a mistake.
LONGEST = 100 * 365 * 86_400


@app.command("new")
def new(
    name: Name,
    plan: Annotated[str, typer.Option("--plan", help="Plan of the policy.")] = "default",
    expires: Annotated[Text, typer.Option("--expires", help="Valid for so long: 90d, 12h.", show_default=False)] = None,
    admin: Annotated[bool, typer.Option("--admin", help="For the status page and the metrics alone.")] = False,
    policy: PolicyFile = "policy.toml",
    debug: options.Debug = False,
) -> None:
    """Make a key and print it; it is shown this once, and only a digest of it is kept."""
    with guarded(debug):
        import time

        seconds = None if expires is None else _seconds(expires, "--expires")
        with _store(policy) as (store, document):
            from memberwise.gateway.keys import new_key

            if not admin:
                _check_plan(document, plan)
            now = time.time()
            end = None if seconds is None else now + seconds
            token = new_key(store, name, plan, end, now=now, kind="admin" if admin else "client")
        _show(token, f"the key of {name}: it is not shown again")


@app.command("list")
def listed(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    policy: PolicyFile = "policy.toml",
    debug: options.Debug = False,
) -> None:
    """List keys (never the keys themselves), and what was spent under each name."""
    with guarded(debug), _store(policy) as (store, document):
        import time

        from memberwise.gateway.keys import list_keys
        from memberwise.gateway.ledger import read_clients

        spent = {one.name: one.questions for one in read_clients(store)}
        now = time.time()
        rows = [_row(key, spent, document, now) for key in list_keys(store)]
        if json:
            print_json(rows)
        else:
            _table(rows)


@app.command("revoke")
def revoke(name: Name, policy: PolicyFile = "policy.toml", debug: options.Debug = False) -> None:
    """Revoke a client's keys, from its next request on."""
    with guarded(debug), _store(policy) as (store, _):
        import time

        from memberwise.gateway.keys import revoke_key

        count = revoke_key(store, name, now=time.time())
        typer.echo(f"memberwise: {count} key{'' if count == 1 else 's'} of {name} revoked")


@app.command("rotate")
def rotate(
    name: Name,
    grace: Annotated[
        Text, typer.Option("--grace", help="The old key stays valid for so long: 1h.", show_default=False)
    ] = None,
    policy: PolicyFile = "policy.toml",
    debug: options.Debug = False,
) -> None:
    """Make a client's next key, with the same plan, expiry and budget; the old one is revoked, or expires soon."""
    with guarded(debug):
        import time

        seconds = None if grace is None else _seconds(grace, "--grace")
        with _store(policy) as (store, _):
            from memberwise.gateway.keys import rotate_key

            token = rotate_key(store, name, seconds, now=time.time())
        _show(token, f"the new key of {name}: it is not shown again")


@contextmanager
def _store(policy: str) -> Iterator[tuple[Store, Policy]]:
    """The store of a policy, open, and the policy."""
    from pathlib import Path

    from memberwise.errors import MissingExtraError
    from memberwise.gateway.policy import read_gateway_policy

    try:
        from memberwise.gateway.store import Store, store_url
    except ImportError as error:
        if (error.name or "memberwise").startswith("memberwise"):
            raise
        raise MissingExtraError.of(error.name or "", "serve", "memberwise keys") from None
    path = Path(policy)
    document = read_gateway_policy(path)
    store = Store.open(store_url(document.store, path.parent))
    try:
        yield store, document
    finally:
        store.close()


def _show(token: str, remark: str) -> None:
    """The token alone on standard output, so that it can be piped to where it is kept."""
    typer.echo(f"memberwise: {remark}", err=True)
    to_stdout(token + "\n")


def _check_plan(document: Policy, plan: str) -> None:
    if plan not in document.plans:
        from memberwise.errors import StudyError, did_you_mean

        raise StudyError(
            f"the policy has no plan {plan}",
            expected=", ".join(sorted(document.plans)),
            where="--plan",
            fix=did_you_mean(plan, document.plans),
        )


def _seconds(text: str, where: str) -> float:
    """A duration such as 90d in seconds."""
    count, unit = text[:-1].strip(), text[-1:]
    seconds = int(count) * UNITS[unit] if count.isascii() and count.isdigit() and unit in UNITS else 0
    if not 0 < seconds <= LONGEST:
        from memberwise.errors import StudyError

        raise StudyError(
            "this is no duration",
            expected="such as 90d, 12h, 30m (s, m, h, d, w), up to 100 years",
            found=text,
            where=where,
        )
    return seconds


def _row(key: Key, spent: dict[str, int], document: Policy, now: float) -> dict[str, object]:
    used = spent.get(key.name, 0)
    plan = document.plans.get(key.plan)
    remaining = None if plan is None or plan.questions is None else max(0, plan.questions - used)
    client = key.kind == "client"
    return {
        "name": key.name,
        "kind": key.kind,
        "plan": key.plan if client else None,
        "state": key.state(now),
        "created": _date(key.created),
        "expires": _date(key.expires),
        "revoked": _date(key.revoked),
        "questions": used if client else None,
        "left": remaining if client else None,
    }


def _date(seconds: float | None) -> str | None:
    from datetime import UTC, datetime

    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _table(rows: list[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text as Cell

    if not rows:
        typer.echo("memberwise: there are no keys; memberwise keys new NAME makes one", err=True)
        return
    table = Table(box=None, pad_edge=False)
    headings = ("name", "kind", "plan", "state", "expires", "questions", "left")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading not in ("name", "plan"))
    for row in rows:
        values = {**row, "expires": row["expires"] and str(row["expires"])[:16].replace("T", " ")}
        # Names are a client's: no markup of theirs is drawn.
        table.add_row(*(Cell("-" if values[heading] is None else str(values[heading])) for heading in headings))
    Console().print(table)
