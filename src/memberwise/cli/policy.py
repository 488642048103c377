"""``memberwise policy``: what a policy grants, and who has signed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from memberwise.cli import options
from memberwise.cli.guard import guarded, to_stdout
from memberwise.cli.outcome import print_json

if TYPE_CHECKING:
    from types import ModuleType

app = typer.Typer(help="Policies of served models: explained, signed, verified.", no_args_is_help=True)

PolicyFile = Annotated[str, typer.Argument(help="The policy (TOML).", show_default=False)]


@app.command("check")
def check(
    policy: PolicyFile,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: options.Debug = False,
) -> None:
    """Say in sentences what a policy grants, which attacks it leaves possible, and what in it is dangerous."""
    with guarded(debug):
        from pathlib import Path

        from memberwise.gateway.policy import read_gateway_policy

        document = read_gateway_policy(Path(policy))
        module = _imported("explain")
        released = _imported("bound_words").read_released(document, Path(policy).parent)
        costs = module.attack_costs()
        sentences = module.explain(document, costs, released)
        dangers = module.find_dangers(document, released)
        if json:
            attacks = module.as_plain(document, costs, released)
            print_json({"grants": sentences, "attacks": attacks, "dangers": dangers})
            return
        to_stdout("\n\n".join(sentences) + "\n")
        for danger in dangers:
            typer.echo(f"memberwise: warning: {danger}", err=True)


@app.command("sign")
def sign(
    policy: PolicyFile,
    key: Annotated[str, typer.Option("--key", help="The private key (PEM, ed25519).", show_default=False)],
    new_key: Annotated[bool, typer.Option("--new-key", help="Make the key, and KEY.pub beside it, first.")] = False,
    debug: options.Debug = False,
) -> None:
    """Sign a policy: POLICY.sig covers its exact bytes and the files of code that it names."""
    with guarded(debug):
        from pathlib import Path

        module = _imported("signing")
        if new_key:
            from memberwise.gateway.policy import read_gateway_policy

            read_gateway_policy(Path(policy))  # no key is made for a policy that cannot be signed
            from memberwise.store.signing import make_key_pair

            typer.echo(f"memberwise: made {key} and {make_key_pair(Path(key))}")
        typer.echo(f"memberwise: signed: {module.sign_policy(Path(policy), Path(key))}")


@app.command("verify")
def verify(
    policy: PolicyFile,
    key: Annotated[str, typer.Option("--key", help="The public key (PEM, ed25519).", show_default=False)],
    debug: options.Debug = False,
) -> None:
    """Verify that a policy, and the code that it names, are as they were signed."""
    with guarded(debug):
        from pathlib import Path

        _imported("signing").verify_policy(Path(policy), Path(key))
        typer.echo(f"memberwise: {policy} is as it was signed")


def _imported(name: str) -> ModuleType:
    import importlib

    from memberwise.errors import MissingExtraError

    try:
        return importlib.import_module(f"memberwise.gateway.{name}")
    except ImportError as error:
        if (error.name or "memberwise").startswith("memberwise"):
            raise
        raise MissingExtraError.of(error.name or "", "serve", "memberwise policy") from None
