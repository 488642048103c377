"""What the attacker is told, and no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import memberwise as mw
from memberwise.errors import RunFolderError
from memberwise.signals.knowledge import read_transfer, revealed, share_told


def test_a_share_of_each_side_is_revealed_truthfully() -> None:
    member = np.random.default_rng(0).random(1000) < 0.3
    known = revealed(member, 0.25, np.random.default_rng(1))
    for side in (True, False):
        told = ~np.isnan(known) & (member == side)
        assert told.sum() == round(0.25 * (member == side).sum())
        np.testing.assert_array_equal(known[told], float(side))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mw.Result:
    return mw.audit(
        data="digits",
        members=120,
        nonmembers=120,
        shadow_models=2,
        attacks=["loss"],
        settings={"training.epochs": 3, "model.hidden": [16]},
        out=tmp_path_factory.mktemp("transfer") / "run",
    )


@pytest.mark.slow
def test_a_finished_runs_target_is_read_with_its_members(run: mw.Result) -> None:
    assert run.folder is not None
    transfer = read_transfer(run.folder)
    np.testing.assert_array_equal(transfer.member, run.scores["member"] == 1)
    np.testing.assert_allclose(transfer.answers.log_p[0, :, 0], run.scores["loss"], rtol=1e-6)
    assert transfer.answers.vectors.shape == (1, 240, 10)  # type: ignore[union-attr]


@pytest.mark.slow
def test_what_is_no_finished_run_is_refused(run: mw.Result, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run from which attacks can learn"):
        read_transfer(tmp_path)
    assert run.folder is not None
    other = tmp_path / "other"
    other.mkdir()
    for name in ("signals", "scores.csv"):
        (other / name).symlink_to(run.folder / name)
    (other / "scores.csv").unlink()
    with pytest.raises(RunFolderError, match="holds no run"):
        read_transfer(other)
    (other / "scores.csv").write_text("index,label,member,evaluated\n0,1,1,1\n1,0,0,1\n")
    with pytest.raises(RunFolderError, match="is not about the records"):
        read_transfer(other)


def test_a_missing_folder_is_found_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="attacks can learn"):
        mw.audit(data="digits", settings={"attacks.transfer": str(tmp_path / "none")}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_of_coins_it_is_not_told_how_they_fell() -> None:
    member = np.array([True, True, True, False])
    assert share_told(member, coins=False) == 0.75
    assert share_told(member, coins=True) == 0.5
