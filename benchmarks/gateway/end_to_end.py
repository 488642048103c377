"""From a frontier to a served model under attack: ``python end_to_end.py --work DIR [--keep FILE]``.

``memberwise defend`` on Location-30 exports a model and its policy; ``memberwise serve`` serves it, with budgets; the
same attacks meet the model as a file, and through HTTP as one client and as twenty who collude. Some ten minutes on two
cores; needs MEMBERWISE_DATA.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import machine, versions

from memberwise.reproduce import servers

RESULTS = Path(__file__).parents[1] / "results" / "gateway-end-to-end.json"
MEMBERWISE = [sys.executable, "-m", "memberwise.cli.main"]
QUESTIONS, CLIENTS, SIDE = 2000, 20, 400
LADDER = [{"above": 0.0, "tier": "vector"}, {"above": 0.5, "tier": "top-3"}, {"above": 0.8, "tier": "label"}]
RECIPE = ["--data", "location30", "--set", "training.epochs=60", "--set", "run.seed=1", "--quiet"]
DEFEND = ["--members", "1200", "--nonmembers", "1200", "--validation", "600", "--shadow-models", "16"]
ATTACKS = "lira-online-shrunk,base,learned,gap,label-only-augment,label-only-noise,label-only-boundary"
ASKING = ["--set", "attacks.boundary_records=40", "--set", "attacks.boundary_queries=500", "--fpr", "0.1,0.01"]


def run(*command: str | Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """A verb of the command line; what it says is shown where it fails."""
    done = subprocess.run(
        [*MEMBERWISE, *map(str, command)], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if check and done.returncode not in (0, 1, 3):
        raise SystemExit(f"memberwise {' '.join(map(str, command))}: {done.stderr}")
    return done


def frontier(work: Path) -> dict[str, Any]:
    """The exported model in ``work/frontier``, and what was recommended."""
    folder = work / "frontier"
    run("defend", *RECIPE, *DEFEND, "--defences", "rounding,logit-clipping", "--out", folder)
    facts = json.loads((folder / "frontier.json").read_text())
    best = facts["recommended"]
    point = facts["points"][0 if best is None else best]
    return {"recommended": point["label"], "accuracy": point["test_accuracy"], "tpr": point["tpr"], "auc": point["auc"]}


def rows(work: Path) -> list[str | Path]:
    """The audited records of every scenario: the same members and non-members of the exported model."""
    scores = pd.read_csv(next((work / "frontier" / "points").iterdir()) / "scores.csv")
    rng = np.random.default_rng(0)
    files: list[str | Path] = []
    for flag, of in (("members", 1), ("nonmembers", 0)):
        index = scores.loc[scores["member"] == of, "index"].to_numpy()
        np.savetxt(work / f"{flag}.txt", np.sort(rng.permutation(index)[:SIDE]), "%d")
        files += [f"--{flag}", work / f"{flag}.txt"]
    np.savetxt(work / "train.txt", scores.loc[scores["member"] == 1, "index"].to_numpy(), "%d")
    return [*files, "--train-rows", work / "train.txt"]


def audit(work: Path, name: str, *flags: str | Path, **environment: str) -> dict[str, Any]:
    """One scenario: each attack's figures, and the questions that were asked."""
    out = work / "audits" / name
    fixed = [*RECIPE, *rows(work), "--population", "100", "--shadow-models", "32", "--attacks", ATTACKS, *ASKING]
    done = run("audit", *flags, *fixed, "--out", out, check=False, **environment)
    if not (out / "result.json").exists():
        return {"ended": done.stderr.strip().splitlines()}
    result = json.loads((out / "result.json").read_text())
    served = result["target"].get("endpoint") or {}
    return {
        "attacks": {
            one["name"]: {"auc": one["auc"], "tpr_at_fpr": one["tpr_at_fpr"], "questions_a_record": one["queries"]}
            for one in result["attacks"]
        },
        "skipped": {one["name"]: one["reason"] for one in result["skipped"]},
        "endpoint": served,
        "warnings": [one["code"] for one in result["warnings"]],
    }


def serve(work: Path, name: str, clients: int) -> tuple[Path, str]:
    """A gateway's folder with fresh books, and the tokens of so many clients."""
    folder = work / "gateways" / name
    folder.mkdir(parents=True, exist_ok=True)
    answer = tomllib.loads((work / "frontier" / "policy.toml").read_text())["answer"]
    policy = {
        "version": 1,
        "answer": answer,
        "model": {"file": str((work / "frontier").absolute())},
        "plans": {"default": {"questions": QUESTIONS, "rates": ["100000/second"], "ladder": LADDER}},
    }
    (folder / "policy.toml").write_text(tomli_w.dumps(policy))
    (folder / "secret.key").unlink(missing_ok=True)
    for store in folder.glob("gateway.sqlite*"):
        store.unlink()
    keys = [
        run("keys", "new", f"client-{k}", "--policy", folder / "policy.toml").stdout.strip() for k in range(clients)
    ]
    return folder, " ".join(keys)


def through_gateway(work: Path, name: str, clients: int, *flags: str | Path) -> dict[str, Any]:
    """The audit over HTTP, with so many clients' tokens."""
    folder, tokens = serve(work, name, clients)
    port = servers.free_port()
    address = f"http://127.0.0.1:{port}"
    command = [*MEMBERWISE, "serve", str(folder / "policy.toml"), "--port", str(port)]
    asked: list[str | Path] = ["--endpoint", address, "--policy", folder / "policy.toml"]
    asked += ["--set", "target.token_env=TOKENS"]
    with servers.running(command, folder, lambda: servers.answers(f"{address}/health/ready"), seconds=120):
        return audit(work, name, *asked, "--set", "target.model=model", *flags, TOKENS=tokens)


def table(scenarios: dict[str, dict[str, Any]]) -> str:
    """Markdown: a row an attack, a column a scenario."""
    names = list(dict.fromkeys(name for one in scenarios.values() for name in one.get("attacks", {})))
    lines = ["| attack | " + " | ".join(scenarios) + " |", "|---" * (1 + len(scenarios)) + "|"]
    for name in names:
        cells = []
        for one in scenarios.values():
            figures = one.get("attacks", {}).get(name)
            cells.append("not run" if figures is None else _cell(figures))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    asked = [str(one.get("endpoint", {}).get("questions", "")) for one in scenarios.values()]
    return "\n".join([*lines, "| questions | " + " | ".join(asked) + " |"])


def _cell(figures: dict[str, Any]) -> str:
    area, tpr = figures["auc"], figures["tpr_at_fpr"][0]
    return f"{area['value']:.3f} [{area['low']:.3f}, {area['high']:.3f}]; {100 * tpr['value']:.1f} %"


def main() -> None:
    """Carry it out, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="a folder for all that is made on the way")
    parser.add_argument("--keep", type=Path, default=RESULTS)
    options = parser.parse_args()
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    chosen = frontier(work)
    weights = work / "frontier" / "target" / "model.safetensors"
    answer = tomllib.loads((work / "frontier" / "policy.toml").read_text())["answer"]
    defended = work / "defended.toml"
    defended.write_text(tomli_w.dumps({"answer": answer}))
    scenarios = {
        "the file, undefended": audit(work, "file", "--target", weights),
        "the file, output defences": audit(work, "defended", defended, "--target", weights),
        "one client, the vector tier": through_gateway(work, "vector", 1, "--max-queries", str(QUESTIONS // 2)),
        "one client, its whole budget": through_gateway(work, "one", 1),
        f"{CLIENTS} clients who collude": through_gateway(work, "twenty", CLIENTS),
    }
    facts = {"frontier": chosen, "scenarios": scenarios, "machine": machine(), "versions": versions()}
    options.keep.write_text(json.dumps(facts, indent=1) + "\n")
    print(table(scenarios))


if __name__ == "__main__":
    main()
