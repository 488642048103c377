"""The secret of released answers: random, its owner's alone, made once."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from memberwise.errors import RunFolderError
from memberwise.store.secret import ensure_secret, read_secret

posix = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")


def test_it_is_made_once_and_differs_from_folder_to_folder(tmp_path: Path) -> None:
    made = []
    for name in "abc":
        ensure_secret(tmp_path / name)
        made.append(read_secret(tmp_path / name))
        ensure_secret(tmp_path / name)
        assert read_secret(tmp_path / name) == made[-1]
    assert len({*made}) == 3
    assert {len(secret) for secret in made} == {32}


@posix
def test_nobody_else_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ensure_secret(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600


def test_processes_that_make_it_at_once_get_one(tmp_path: Path) -> None:
    def make(_: int) -> bytes:
        ensure_secret(tmp_path)
        return read_secret(tmp_path)

    with ThreadPoolExecutor(16) as pool:
        assert len({*pool.map(make, range(64))}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_one_that_others_may_read_is_refused_and_not_replaced(tmp_path: Path, mode: int) -> None:
    ensure_secret(tmp_path)
    content = (tmp_path / "secret.key").read_text()
    (tmp_path / "secret.key").chmod(mode)
    for use in (ensure_secret, read_secret):
        with pytest.raises(RunFolderError, match=r"others may read(.|\n)*chmod 600"):
            use(tmp_path)
    assert (tmp_path / "secret.key").read_text() == content


def test_one_that_is_gone_or_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not there"):
        read_secret(tmp_path)
    for content in ("", "abc", "z" * 64, "é"):
        (tmp_path / "secret.key").write_text(content, encoding="utf-8")
        (tmp_path / "secret.key").chmod(0o600)
        with pytest.raises(RunFolderError, match=r"no secret|cannot be read"):
            read_secret(tmp_path)
