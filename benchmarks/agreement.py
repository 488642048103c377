"""Our attacks and statistics beside those of PrivacyGuard and jax-privacy, on the same arrays.

``make agreement``, after ``make bench-others``. Prints the figures of docs/agreement.md; exits with 1 where something
that is the same computation gives another result.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit
from scipy.stats import rankdata

from memberwise.attacks import ATTACKS, rmia
from memberwise.attacks.tuning import tuned
from memberwise.signals.table import Answers, Signals
from memberwise.statistics import auc, best_threshold, count, epsilon_bound, one_run_bound, tpr_at_fpr

HERE = Path(__file__).parent
PYTHON = HERE / ".venv-others" / "bin" / "python"
RECORDS, MODELS, POPULATION, NULLS = 1000, 16, 400, 50
FPRS = (0.01, 0.1)
# Rows of the same computation: so much may they differ.
SAME = {"lira_own": 1e-9, "rmia_online": 0.0, "calibration": 1e-9}
Floats = NDArray[np.float64]


def answers(phi: Floats) -> Answers:
    log_p, log_1mp = (log_expit(sign * phi[..., None]).astype(np.float32) for sign in (1, -1))
    return Answers(log_p, log_1mp, log_p > np.log(0.5))


def made_up() -> tuple[Signals, NDArray[np.bool_]]:
    """Records of differing difficulty, spread and gap, shadow models in pairs."""
    rng = np.random.default_rng(0)
    member = rng.permutation(RECORDS) < RECORDS // 2
    first = rng.random((MODELS // 2, RECORDS)).argsort(1) < RECORDS // 2
    trained_on = np.stack([first, ~first], 1).reshape(MODELS, RECORDS).astype(np.int8)
    level, gap, spread = rng.normal(1, 2, RECORDS), rng.gamma(2, 0.6, RECORDS), rng.gamma(4, 0.25, RECORDS)

    def phi(inside: NDArray[np.bool_]) -> Floats:
        return level + gap * inside + spread * rng.normal(size=inside.shape)

    others = rng.normal(1, 2, POPULATION) + rng.normal(size=(MODELS + 1, POPULATION))
    signals = Signals(
        np.arange(RECORDS),
        np.zeros(RECORDS, np.int64),
        answers(phi(member[None])),
        answers(phi(trained_on == 1)),
        trained_on,
        population_target=answers(others[:1]),
        population_shadows=answers(others[1:]),
    )
    return signals, member


def probabilities(of: Answers | None) -> Floats:
    assert of is not None
    return np.exp(of.log_p[:, :, 0].astype(np.float64))


def arrays(signals: Signals, member: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Everything the others are given."""
    assert signals.shadows is not None
    scores = ATTACKS["lira-online"].score(signals, np.random.default_rng(0))
    null = np.random.default_rng(1).normal(size=(2, NULLS, RECORDS // 2))
    return {
        "member": member,
        "trained_on": signals.trained_on,
        "target_phi": signals.target.phi[0, :, 0],
        "shadow_phi": signals.shadows.phi[:, :, 0],
        "target_p": probabilities(signals.target)[0],
        "shadow_p": probabilities(signals.shadows),
        "world_target_p": probabilities(signals.population_target)[0],
        "world_shadow_p": probabilities(signals.population_shadows),
        "inside": scores[member],
        "outside": scores[~member],
        "threshold": np.array(best_threshold([(scores, member)])),
        "fprs": np.array(FPRS),
        "null_inside": null[0],
        "null_outside": null[1],
    }


def ask(script: str, given: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/in.npz", allow_pickle=False, **given)
        subprocess.run(
            [PYTHON, "-W", "ignore", HERE / "others" / script, f"{folder}/in.npz", f"{folder}/out.npz"], check=True
        )
        return dict(np.load(f"{folder}/out.npz"))


def scores_row(what: str, ours: Floats, theirs: Floats, member: NDArray[np.bool_]) -> str:
    apart = np.abs(ours - theirs).max()
    ranks = np.corrcoef(rankdata(ours), rankdata(theirs))[0, 1]
    areas = " / ".join(f"{auc(scores, member).value:.4f}" for scores in (ours, theirs))
    return f"| {what} | {apart:.2g} | {ranks:.5f} | {areas} |"


def must_agree(what: str, ours: Floats | float, theirs: Floats | float, most: float) -> None:
    """Ends the program where the same computation gives another result."""
    apart = float(np.max(np.abs(np.asarray(ours) - theirs)))
    if apart > most:
        sys.exit(f"{what}: {apart:.3g} apart, at most {most:g} expected")


def attack_rows(signals: Signals, member: NDArray[np.bool_], given: dict[str, NDArray[Any]]) -> list[str]:
    theirs = ask("agree_privacyguard.py", given)

    def ours(name: str) -> Floats:
        return ATTACKS[name].score(signals, np.random.default_rng(0))

    offline = rmia.offline(a=0.3)(signals, np.random.default_rng(0))
    shadows = signals.shadows
    assert shadows is not None
    calibrated = signals.target.log_p[0, :, 0].astype(np.float64) - shadows.log_p[0, :, 0]
    chosen = tuned(signals, rmia.offline_ratio, 0.3, np.random.default_rng(0))
    rows = [
        ("LiRA online, own spreads", ours("lira-online"), "lira_own"),
        ('LiRA online, one spread a side ("mix")', ours("lira-online-fixed"), "lira_mix"),
        ('LiRA online, its default spread ("global")', ours("lira-online-fixed"), "lira_global"),
        ("LiRA offline, its default", ours("lira-offline-fixed"), "lira_offline"),
        ("RMIA online, all reference models", ours("rmia-online"), "rmia_online"),
        ("RMIA online, its default number of them", ours("rmia-online"), "rmia_online_default"),
        ("RMIA offline, a = 0.3", offline, "rmia_offline"),
        ("calibration by one model", calibrated, "calibration"),
    ]
    for what, own, key in rows:
        if key in SAME:
            must_agree(what, own, theirs[key], SAME[key])
    lines = [scores_row(what, own, theirs[key], member) for what, own, key in rows]
    accuracy, area, epsilon = theirs["statistics"]
    null = np.mean(theirs["null_epsilon"] > 0)
    return [
        *lines,
        f"a tuned: ours {chosen:g}, PrivacyGuard {float(theirs['rmia_tuned_a']):g}",
        f"PrivacyGuard: AUC {area:.6f}, best accuracy {accuracy:.4f}, epsilon {epsilon:.3f}; "
        f"positive on {null:.0%} of {NULLS} null tables",
    ]


def statistic_rows(member: NDArray[np.bool_], given: dict[str, NDArray[Any]]) -> list[str]:
    theirs = ask("agree_jax_privacy.py", given)
    scores = np.concatenate([given["inside"], given["outside"]])
    truth = np.arange(len(scores)) < len(given["inside"])
    threshold = float(given["threshold"])
    counts = count(scores, truth, threshold)
    guesses = [(counts.true_positives + counts.false_positives, 0)]
    ours, bound = auc(scores, truth), epsilon_bound(counts).value
    one_run = one_run_bound(scores, truth, guesses).value
    must_agree("epsilon", bound, theirs["epsilon"], 1e-5)
    must_agree("epsilon of one run", one_run, theirs["one_run"], 1e-5)
    low, high = np.ravel(theirs["auc_interval"])
    rows = [
        f"AUC: {ours} | jax-privacy {float(theirs['auc']):.6f} [{low:.4f}, {high:.4f}]",
        *(
            f"{tpr_at_fpr(scores, truth, fpr)} | jax-privacy {value:.4f} [{ends[0]:.4f}, {ends[1]:.4f}]"
            for fpr, value, ends in zip(FPRS, theirs["tpr"], theirs["tpr_interval"], strict=True)
        ),
        f"epsilon at a fixed threshold: {bound:.6f} | {float(theirs['epsilon']):.6f}",
        f"one run: {one_run:.6f} | {float(theirs['one_run']):.6f}",
    ]
    null = zip(given["null_inside"], given["null_outside"], strict=True)
    own = np.mean([auc(np.concatenate(both), np.arange(RECORDS) < RECORDS // 2).value for both in null])
    rows += [f"mean AUC of null tables: {own:.4f} | {theirs['null_auc'].mean():.4f}"]
    gdp = theirs["null_gdp"]
    rows += [f"jax-privacy, GDP bound on null tables: {gdp.min():.3f} to {gdp.max():.3f}, median {np.median(gdp):.3f}"]
    shares = {name: np.mean(theirs[f"null_{name}"] > 0) for name in ("epsilon", "gdp", "raw")}
    return [*rows, f"jax-privacy, positive on null tables: {', '.join(f'{k} {v:.0%}' for k, v in shares.items())}"]


def main() -> int:
    if not PYTHON.exists():
        sys.stderr.write("the tools to compare with are not installed: make bench-others\n")
        return 2
    signals, member = made_up()
    given = arrays(signals, member)
    print("| ours beside PrivacyGuard's | largest difference | rank correlation | AUC |\n|---|---|---|---|")
    print("\n".join([*attack_rows(signals, member, given), *statistic_rows(member, given)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
