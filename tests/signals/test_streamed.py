"""Blocks joined from disk are those joined in memory, and mapped answers give the same statistics."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import memberwise as mw
from memberwise.assess.curves import exposed_curves
from memberwise.assess.mismatch import _figures
from memberwise.assess.sides import pair_sides
from memberwise.assess.turns import clusters_of
from memberwise.attacks import attack_r, calibration
from memberwise.attacks.in_out import log_mean_p, mean_phi, moments
from memberwise.signals.codec import join
from memberwise.signals.steps import Step, _lifted, find_step
from memberwise.signals.streamed import is_mapped, join_streamed, joined_shape, of_models, of_records, release
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Arrays

RNG = np.random.default_rng(1)


def block(models: int, vectors: bool, remark: str) -> Arrays:
    arrays: Arrays = {
        "audited.log_p": RNG.normal(size=(models, 30, 2)).astype(np.float32),
        "audited.correct": RNG.random((models, 30, 2)) < 0.5,
        "remarks": np.full(models, remark),
    }
    return arrays | ({"audited.vectors": RNG.random((models, 30, 3), np.float32)} if vectors else {})


@pytest.mark.parametrize("mapped", [0, 10**9])
def test_streamed_blocks_equal_those_joined_at_once(
    mapped: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memberwise.signals.streamed.MAPPED", mapped)
    blocks = [block(4, True, ""), block(2, True, "margins"), block(4, False, "a")]
    described = [{name: (array.dtype, array.shape) for name, array in one.items()} for one in blocks]
    shapes = {name: joined_shape([one[name] for one in described if name in one]) for name in blocks[0]}
    dtype, shape = shapes["audited.vectors"]
    shapes["audited.vectors"] = dtype, (5, *shape[1:])
    streamed, at_once = join_streamed(iter(blocks), shapes, tmp_path), join(blocks, 5)
    assert streamed.keys() == at_once.keys()
    for name, array in at_once.items():
        assert streamed[name].dtype == array.dtype
        assert np.array_equal(streamed[name], array), name
    release(*streamed.values())
    assert np.array_equal(streamed["audited.log_p"], at_once["audited.log_p"]), "letting go loses nothing"
    rows = np.array([3, 4, 20])
    assert np.array_equal(of_records(streamed["audited.log_p"], rows), at_once["audited.log_p"][:, rows])
    keep = np.array([0, 4, 2])
    some = of_models(streamed["audited.log_p"], keep)
    assert np.array_equal(some, at_once["audited.log_p"][keep])
    assert is_mapped(some) == is_mapped(streamed["audited.log_p"][1:, ::2]) == (mapped == 0)
    assert not list(tmp_path.iterdir()), "files without a name"


def test_a_disk_without_room_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit later would end the process by a signal."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(small)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs a small disk: only root may mount one")
    monkeypatch.setattr("memberwise.signals.streamed.MAPPED", 0)
    try:
        with pytest.raises(OSError, match="No space left"):
            join_streamed(iter([]), {"a": (np.dtype(np.float32), (200, 200))}, small)
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_statistics_of_mapped_answers_are_those_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: whether a table had room in memory is seen in no figure."""
    values = -RNG.gamma(0.3, 3.0, (40, 70, 3)).astype(np.float32)
    others = np.log1p(-np.exp(np.minimum(values, -1e-6)))
    arrays: dict[str, Any] = {"log_p": values, "log_1mp": others, "correct": values > -0.5}
    monkeypatch.setattr("memberwise.attacks.in_out.CHUNK_VALUES", 1000)
    monkeypatch.setattr("memberwise.signals.streamed.PIECE", 999)
    held = Answers(values, others, values > -0.5, kind="probabilities")
    monkeypatch.setattr("memberwise.signals.streamed.MAPPED", 0)
    parts = [{name: array[first : first + 9] for name, array in arrays.items()} for first in range(0, 40, 9)]
    shapes = {name: (array.dtype, array.shape) for name, array in arrays.items()}
    joined: dict[str, Any] = join_streamed(iter(parts), shapes, tmp_path)
    mapped = Answers(joined["log_p"], joined["log_1mp"], joined["correct"], kind="probabilities")
    trained_on = (RNG.random((20, 70)) < 0.5).astype(np.int8).repeat(2, 0)
    trained_on[1::2] = 1 - trained_on[1::2]
    worst, step = np.array([5, 60, 7]), Step(1 / 8, 0.5, even=True)
    figures: list[list[Any]] = []
    for answers in (held, mapped):
        assert is_mapped(answers.log_p) == is_mapped(answers.correct) == (answers is mapped)
        one = np.array([3])
        signals = Signals(np.arange(70), np.arange(70) % 3, answers.of_models(one), answers, trained_on)
        of_in = moments(answers, signals.is_in)
        lifted = _lifted(answers, step)
        sides = pair_sides(signals)
        assert sides is not None
        found: list[Any] = [of_in.mean, of_in.squares, log_mean_p(answers, signals.is_out), mean_phi(answers)]
        found += [
            calibration.score(signals, RNG),
            attack_r.score(signals, RNG),
            *exposed_curves(signals, worst).values(),
        ]
        found += [lifted.log_p, lifted.log_1mp, sides.aucs, sides.in_score, sides.out_score]
        for values_of_each in _figures(answers.of_models(one), answers).values():
            found += map(np.asarray, values_of_each)
        size = find_step(answers)
        figures.append([*found, np.array([0 if size is None else size.size])])
    for one, other in zip(*figures, strict=True):
        assert np.array_equal(one, other, equal_nan=True)


@pytest.mark.slow
def test_an_audit_of_mapped_answers_is_that_of_answers_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    attacks = ["lira-online", "lira-offline-fixed", "rmia-online", "base-matched", "attack-r", "calibration", "shokri"]
    study: dict[str, Any] = {"data": "digits", "members": 60, "nonmembers": 60, "shadow_models": 8, "attacks": attacks}
    study["settings"] = {"training.epochs": 2, "plan.stack": 2, "statistics.turns": 8}
    held = mw.audit(**study)
    monkeypatch.setattr("memberwise.signals.gather.HELD", 0)
    monkeypatch.setattr("memberwise.signals.streamed.MAPPED", 0)
    mapped = mw.audit(**study)
    assert held.scores.equals(mapped.scores)
    one, other = held.to_dict(), mapped.to_dict()
    for part in ("attacks", "mismatch", "recipe", "discoveries", "verdict"):
        assert without_seconds(one[part]) == without_seconds(other[part]), part


def without_seconds(value: Any) -> Any:
    """The same figures without the times they took."""
    if isinstance(value, dict):
        return {name: without_seconds(part) for name, part in value.items() if not name.endswith("seconds")}
    return [without_seconds(part) for part in value] if isinstance(value, list) else value


def test_statistics_in_chunks_equal_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log_p = -RNG.random((6, 50, 2)).astype(np.float32)
    answers = Answers(log_p, np.log1p(-np.exp(log_p)), log_p > -0.5)
    side = RNG.random((6, 50)) < 0.5
    side[0], side[1] = True, False
    whole = (moments(answers, side), log_mean_p(answers, side), mean_phi(answers))
    monkeypatch.setattr("memberwise.attacks.in_out.CHUNK_VALUES", 30)
    chunks = (moments(answers, side), log_mean_p(answers, side), mean_phi(answers))
    assert np.array_equal(whole[0].squares, chunks[0].squares)
    assert np.array_equal(whole[1], chunks[1])
    assert np.array_equal(whole[2], chunks[2])
    assert np.allclose(chunks[2], answers.phi.mean(2), rtol=1e-12)
    expected = np.log([np.exp(log_p[side[:, i], i, 0].astype(float)).mean() for i in range(50)])
    assert np.allclose(chunks[1][:, 0], expected, rtol=1e-10)


def paired_one_by_one(trained_on: NDArray[np.int8]) -> list[int]:
    """The twin of each model, by comparing all with all."""
    twins = [-1] * len(trained_on)
    for i, row in enumerate(trained_on):
        for j in range(i + 1, len(trained_on)):
            if twins[i] < 0 and twins[j] < 0 and (row + trained_on[j] == 1).all():
                twins[i], twins[j] = j, i
    return twins


def test_clusters_equal_those_by_comparing_all() -> None:
    half = (RNG.random((5, 40)) < 0.5).astype(np.int8)
    rows = [half[0], 1 - half[0], half[1], half[2], half[2], 1 - half[1], 1 - half[2], half[3], 1 - half[2], half[4]]
    dropped = (1 - half[3]).astype(np.int8)
    dropped[3] = -1
    trained_on = np.array([*rows, dropped], np.int8)
    trained_on = trained_on[RNG.permutation(len(trained_on))]
    numbers, twins = clusters_of(trained_on), paired_one_by_one(trained_on)
    same = numbers[:, None] == numbers[None, :]
    expected = [[i == j or twins[i] == j for j in range(len(twins))] for i in range(len(twins))]
    assert same.tolist() == expected
