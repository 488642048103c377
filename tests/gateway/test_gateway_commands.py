"""``memberwise keys`` and ``memberwise policy``, as an operator runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from memberwise.cli.main import app
from memberwise.gateway.keys import check_key
from memberwise.gateway.store import Store

POLICY = 'version = 1\nanswer = [{ name = "rounding" }]\n[plans.default]\nquestions = 100\n[plans.gold]\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.toml").write_text(POLICY)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def token(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def opens(folder: Path, key: str, now: float = 1.0) -> bool:
    store = Store.open(f"sqlite:///{folder / 'gateway.sqlite'}")
    try:
        return check_key(store, key, now) is not None
    finally:
        store.close()


@pytest.mark.slow
def test_a_key_is_made_listed_rotated_revoked(folder: Path) -> None:
    first = token("keys", "new", "ann", "--plan", "gold")
    second = token("keys", "rotate", "ann", "--grace", "1h")
    assert opens(folder, first)
    listed = run("keys", "list", "--json")
    rows = json.loads(listed.stdout)
    assert [(row["name"], row["plan"], row["state"], row["left"]) for row in rows] == [
        ("ann", "gold", "valid", 10_000)
    ] * 2
    assert rows[0]["expires"] is not None
    table = run("keys", "list")
    for shown in (listed.output, table.output):
        assert first not in shown
        assert second not in shown
    assert run("keys", "revoke", "ann").exit_code == 0
    assert not opens(folder, first)
    assert not opens(folder, second)
    assert {row["state"] for row in json.loads(run("keys", "list", "--json").stdout)} == {"revoked"}


def test_the_token_alone_is_printed_to_be_piped(folder: Path) -> None:
    result = run("keys", "new", "ann", "--expires", "90d")
    assert result.stdout == result.stdout.strip() + "\n"
    assert result.stdout.startswith("mw_")
    assert result.stdout.strip() not in result.stderr
    assert opens(folder, result.stdout.strip())
    assert not opens(folder, result.stdout.strip(), 1e10)


def test_names_with_markup_are_shown_as_they_are(folder: Path) -> None:
    token("keys", "new", "[red]x[/red]<b>")
    assert "[red]x[/red]<b>" in run("keys", "list").stdout.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "new", "ann", "--plan", "gld"),
        ("keys", "new", "ann", "--expires", "soon"),
        ("keys", "new", "ann", "--expires", "0d"),
        ("keys", "new", "ann", "--expires", "²d"),
        ("keys", "new", "ann", "--expires", "d"),
        ("keys", "new", "ann", "--expires", "99999999999999999999w"),
        ("keys", "new", "anonymous"),
        ("keys", "revoke", "nobody"),
        ("keys", "rotate", "nobody"),
        ("keys", "list", "--policy", "missing.toml"),
        ("policy", "check", "missing.toml"),
        ("policy", "check", "bad.toml"),
        ("policy", "check", "unknown.toml"),
        ("policy", "verify", "policy.toml", "--key", "missing.pub"),
        ("policy", "sign", "policy.toml", "--key", "missing.pem"),
        ("policy", "sign", "bad.toml", "--key", "new.pem", "--new-key"),
    ],
)
def test_what_cannot_be_done_exits_2(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "bad.toml").write_text("answr = []")
    (folder / "unknown.toml").write_text('answer = [{ name = "roundng" }]')
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("memberwise: ")
    assert "Traceback" not in result.output
    assert not (folder / "new.pem").exists()


def test_a_policy_is_explained_and_warned_of(folder: Path) -> None:
    result = run("policy", "check", "policy.toml")
    assert result.exit_code == 0
    assert "Plan default: each client has 100 questions" in result.stdout
    assert "NOT stopped by any budget" in result.stdout
    assert "warning: budget.total is not set" in result.stderr
    facts = json.loads(run("policy", "check", "policy.toml", "--json").stdout)
    assert set(facts) == {"grants", "attacks", "dangers"}
    assert {row["plan"] for row in facts["attacks"]} == {"default", "gold"}


def test_a_policy_is_signed_and_a_change_noticed(folder: Path) -> None:
    assert run("policy", "sign", "policy.toml", "--key", "signer.pem", "--new-key").exit_code == 0
    assert run("policy", "verify", "policy.toml", "--key", "signer.pem.pub").exit_code == 0
    (folder / "policy.toml").write_text(POLICY.replace("100", "1000"))
    result = run("policy", "verify", "policy.toml", "--key", "signer.pem.pub")
    assert result.exit_code == 2
    assert "changed after it was signed" in result.stderr
    assert run("policy", "sign", "policy.toml", "--key", "signer.pem").exit_code == 0
    assert run("policy", "verify", "policy.toml", "--key", "signer.pem.pub").exit_code == 0


WITHOUT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Blocked())
from memberwise.cli.main import main
sys.argv = ["memberwise", *{arguments!r}]
main()
"""


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("sqlalchemy", ["keys", "list"]),
        ("sqlalchemy", ["policy", "check", "policy.toml"]),
        ("cryptography", ["policy", "verify", "policy.toml", "--key", "k"]),
    ],
)
@pytest.mark.slow
def test_a_missing_extra_is_named(folder: Path, package: str, arguments: list[str]) -> None:
    code = WITHOUT.format(package=package, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 2
    assert package in done.stderr
    assert "memberwise[serve]" in done.stderr


HELP = """
import sys
from memberwise.cli.main import main
sys.argv = ["memberwise", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
heavy = {"sqlalchemy", "cryptography", "numpy", "torch"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("arguments", [["--help"], ["keys", "--help"], ["policy", "check", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-c", HELP, *arguments], check=True, capture_output=True)


SERVING = """
import sys
import memberwise.gateway.bank, memberwise.gateway.keys, memberwise.gateway.neighbours, memberwise.gateway.explain
memberwise.gateway.explain.attack_costs()
assert "torch" not in sys.modules
"""


@pytest.mark.slow
def test_the_gateways_books_load_no_torch() -> None:
    subprocess.run([sys.executable, "-c", SERVING], check=True)
