"""Every attack on the same tables, by number of shadow models: ``make bench-attacks``.

The pools of models are trained once (about half an hour on two cores) and kept in --pools; data as `memberwise data
get` finds them. What benchmarks/results/attacks.json holds already is not measured again (--again does), so that the
command goes on where it stopped; --data NAME and --shadows K (repeatable) measure a part, --attack NAME (repeatable)
some attacks anew, whose figures take their places among the others. --quick takes scikit-learn's digits and shows only
that it runs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from page import page
from pools import MODELS, POOLS, SHADOWS, TARGETS, Arrays, pool, table
from sklearn.metrics import roc_auc_score

from memberwise import __version__
from memberwise.attacks import ATTACKS, run_attacks
from memberwise.attacks.tuning import with_temperature
from memberwise.seeds import Seeds
from memberwise.statistics import tpr_at

HERE, COUNTS = Path(__file__).parent, (2, 4, 6, 8, 16, 32, 64)
RESULTS = HERE.parent / "results" / "attacks.json"
# Attacks on p_y at a temperature, each at these; an audit's default bears the attack's plain name.
TEMPERATURES = {"": 2.0, " at T = 1": 1.0, ", T tuned": "tuned"}
REHEARSAL = "Digits (rehearsal)"


def chosen(some: Collection[str] | None = None) -> list[Any]:
    """Attacks on single answers that train no model of their own, and the learned ones; or ``some`` of them."""
    slow = ("shokri", "ml-leaks", "label-only", "gradient-norm", "nasr", "quantile", "top-one-search")
    fast = [attack for name, attack in ATTACKS.items() if not name.startswith(slow)]
    return fast if some is None else [attack for attack in fast if attack.name in some]


def measured(
    arrays: Arrays, counts: list[int], targets: list[int], some: Collection[str]
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """By number of shadow models, attack and figure: one value a target."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for count in counts:
        at = found.setdefault(str(count), {})
        for target in targets:
            signals, member = table(arrays, target, count)
            for words, temperature in TEMPERATURES.items():
                attacks = [attack for attack in chosen(some) if attack.tempered or not words]
                tempered, _ = with_temperature(signals, temperature, Seeds(target).rng("temperature"))  # type: ignore[arg-type]
                for outcome in run_attacks(tempered, attacks, Seeds(target)):
                    if outcome.scores is not None:
                        into = at.setdefault(outcome.attack.name + words, {"auc": [], "tpr": [], "tpr_low": []})
                        into["auc"].append(round(float(roc_auc_score(member, outcome.scores)), 6))
                        into["tpr"].append(round(tpr_at(outcome.scores, member, 0.01), 6))
                        into["tpr_low"].append(round(tpr_at(outcome.scores, member, 0.001), 6))
    return found


def as_json(run: dict[str, Any]) -> str:
    """Indented, a list on one line."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), json.dumps(run, indent=1)) + "\n"


def what(arrays: Arrays, name: str) -> str:
    wanted, records = POOLS[name], len(arrays["labels"])
    train, test = (100 * arrays[f"{part}_accuracy"].mean() for part in ("train", "test"))
    return (
        f"`{wanted['model']['name']}`, {records // 2:,} members and as many non-members, "
        f"{wanted['training']['epochs']} epochs, {arrays['audited.log_p'].shape[2]} queries a record; accuracy "
        f"{train:.1f} % on training records, {test:.1f} % on others."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", choices=list(POOLS), metavar="NAME")
    parser.add_argument("--shadows", action="append", type=int, metavar="K")
    parser.add_argument("--attack", action="append", choices=[one.name for one in chosen()], metavar="NAME")
    parser.add_argument("--pools", type=Path, default=Path.home() / ".cache" / "memberwise" / "bench-attacks")
    parser.add_argument("--results", type=Path, default=RESULTS, help="every figure, as JSON")
    parser.add_argument("--page", type=Path, default=HERE / "README.md", help="the page made from it")
    parser.add_argument("--again", action="store_true", help="measure anew what the results hold already")
    parser.add_argument("--quick", action="store_true", help="digits: shows that it runs, measures nothing")
    asked = parser.parse_args()
    names = asked.data or ([REHEARSAL] if asked.quick else [name for name in POOLS if name != REHEARSAL])
    targets = list(range(SHADOWS, MODELS, 2))[: 2 if asked.quick else TARGETS]
    counts = asked.shadows or ([2, 4] if asked.quick else list(COUNTS))
    path = asked.results
    run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"data": {}}
    run |= {"date": str(datetime.datetime.now(datetime.UTC).date()), "memberwise": __version__, "targets": len(targets)}
    for name in names:
        arrays = pool(name, asked.pools)
        section = run["data"].setdefault(name, {"what": what(arrays, name), "found": {}})
        for count in counts:
            known = {} if asked.again else section["found"].get(str(count), {})
            todo = asked.attack or [attack.name for attack in chosen() if attack.name not in known]
            section["found"][str(count)] = known | measured(arrays, [count], targets, todo)[str(count)]
            section["found"] = {str(k): section["found"][str(k)] for k in sorted(map(int, section["found"]))}
            path.write_text(as_json(run), encoding="utf-8")
            asked.page.write_text(page(run), encoding="utf-8")
            print(f"{name}, {count} shadow models: done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
