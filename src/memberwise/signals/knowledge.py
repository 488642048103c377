"""What the attacker is told beyond answers: who some members are, and another model of which they all are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from memberwise.errors import RunFolderError
from memberwise.seeds import Seeds
from memberwise.signals.codec import answers_of
from memberwise.signals.table import Signals, Transfer
from memberwise.store.blocks import BlockStore, block_name
from memberwise.study.schema import AttacksConfig
from memberwise.types.arrays import Floats, Mask


def share_told(member: Mask, coins: bool) -> float:
    """The share of members that the attacker is told: as there are, of ``member`` ``(n,)``; of coins what they are.

    How many coins fell on one side would tell of each what no coin tells, and a bound on epsilon rests on them.
    """
    return 0.5 if coins else float(member.mean())


def with_knowledge(signals: Signals, member: Mask, study: AttacksConfig, seeds: Seeds, coins: bool = False) -> Signals:
    """The table with what the attacker is told: how many are members, and what the study reveals, nothing more.

    Args:
        member: ``(n,)``, of which the study's share is revealed. coins: memberships are independent fair coins.
    """
    signals = replace(signals, members=share_told(member, coins))
    if study.reveal:
        signals = replace(signals, known=revealed(member, study.reveal, seeds.rng("revealed records")))
    if study.transfer is not None:
        signals = replace(signals, transfer=read_transfer(Path(study.transfer)))
    return signals


def revealed(member: Mask, share: float, rng: np.random.Generator) -> Floats:
    """``(n,)``: 1.0 or 0.0 for a random share of the members and of the non-members, NaN for the rest."""
    known = np.full(len(member), np.nan)
    for side in (True, False):
        rows = rng.permutation(np.flatnonzero(member == side))
        known[rows[: round(share * len(rows))]] = float(side)
    return known


def read_transfer(folder: Path) -> Transfer:
    """The target of a finished run, as a model of the attacker's own: its answers, and who its members are.

    Raises:
        RunFolderError: the folder holds no finished run of a model that was asked here, with full answers.
    """
    store, name, scores = BlockStore(folder / "signals"), block_name(0), folder / "scores.csv"
    arrays, problem = store.load(name, store.manifest.get(name, {}).get("key", ""))
    answers = None if arrays is None else answers_of(arrays, "audited")
    if answers is None or answers.vectors is None or not scores.exists():
        raise RunFolderError(
            f"{folder} holds no run from which attacks can learn",
            expected="the folder of a finished audit of a model that was trained or asked there",
            found=problem or "no target's answers, or no scores.csv",
            where="attacks.transfer",
        )
    if scores.read_text("utf-8").partition("\n")[0].split(",")[:3] != ["index", "label", "member"]:
        raise RunFolderError(
            f"{scores} does not tell which record is whose",
            expected="columns index, label, member",
            found="scores without them (report.redact_scores)",
            where="attacks.transfer",
            fix=f"audit into {folder} again without --redact-scores",
        )
    member = np.loadtxt(scores, delimiter=",", skiprows=1, usecols=2) == 1
    if len(member) != answers.records:
        raise RunFolderError(f"{scores} is not about the records of {name}", where="attacks.transfer")
    return Transfer(answers, member)
