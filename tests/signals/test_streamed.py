"""Blocks joined from disk are those joined in memory, and mapped answers give the same statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from memberwise.assess.turns import clusters_of
from memberwise.attacks.in_out import log_mean_p, mean_phi, moments
from memberwise.signals.codec import join
from memberwise.signals.streamed import is_mapped, join_streamed, joined_shape, of_models, of_records, release
from memberwise.signals.table import Answers
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
