from __future__ import annotations

import gzip
import hashlib
import struct
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from memberwise.data import SOURCES, load
from memberwise.data.catalogue import IDX, Remote
from memberwise.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and no MEMBERWISE_DATA."""
    monkeypatch.delenv("MEMBERWISE_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache" / "memberwise"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def arrays(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(20, dtype=np.uint8) % 10
    return [rng.integers(0, 256, (20, 4, 4)).astype(np.uint8), labels] * 2


def mnist_files(folder: Path, seed: int = 0) -> None:
    for name, array in zip(IDX, arrays(seed), strict=True):
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(gzip.compress(head + array.tobytes()))


def served(monkeypatch: pytest.MonkeyPatch, folder: Path, address: str) -> None:
    remotes = [Remote(address + name, hashlib.sha256((folder / name).read_bytes()).hexdigest()) for name in IDX]
    monkeypatch.setitem(SOURCES.built_in, "mnist", replace(SOURCES["mnist"], remotes=tuple(remotes)))


@pytest.mark.slow
def test_a_download_is_checked_converted_and_kept(
    home: tuple[Path, str], cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, address = home
    mnist_files(folder)
    served(monkeypatch, folder, address)
    dataset = load("mnist")
    assert (dataset.x[:20] == arrays()[0]).all()
    assert dataset.test is not None
    assert dataset.test.tolist() == list(range(20, 40))
    assert "100%" in capfd.readouterr().err
    assert sorted(path.name for path in cache.iterdir()) == ["mnist", "mnist.npz"]
    for name in IDX:
        (folder / name).unlink()
        (cache / "mnist" / name).unlink()
    assert load("mnist").sha256 == dataset.sha256


@pytest.mark.slow
def test_no_bar_where_none_is_wanted(
    home: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    mnist_files(home[0])
    served(monkeypatch, *home)
    load("mnist", progress=False)
    assert "%" not in capfd.readouterr().err


@pytest.mark.slow
def test_another_file_than_published_is_refused_and_not_kept(
    home: tuple[Path, str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist_files(home[0])
    served(monkeypatch, *home)
    mnist_files(home[0], seed=1)
    with pytest.raises(
        DataError, match=r"(?s)cannot be downloaded.*is not the file it should be \(SHA-256 [0-9a-f]{64}\)"
    ):
        load("mnist")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_offline_is_one_error_that_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = tuple(
        replace(remote, url="http://127.0.0.1:9/" + name)
        for remote, name in zip(SOURCES["mnist"].remotes, IDX, strict=True)
    )
    monkeypatch.setitem(SOURCES.built_in, "mnist", replace(SOURCES["mnist"], remotes=dead))
    with pytest.raises(DataError) as caught:
        load("mnist")
    text = str(caught.value)
    assert "the data of 'mnist' are not on this machine and cannot be downloaded" in text
    assert "mnist.npz" in text
    assert "train-images-idx3-ubyte.gz" in text
    assert "ConnectionError" in text
    assert str(cache) in text
    assert "set MEMBERWISE_DATA to the folder that holds it" in text


@pytest.mark.parametrize("name", ["location30", "purchase100", "texas100"])
def test_nothing_is_downloaded_without_a_known_hash(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pooch.retrieve", lambda *args, **kwargs: pytest.fail("downloaded"))
    with pytest.raises(DataError, match=r"(?s)no SHA-256 of it is published.*github.com/privacytrustlab/datasets"):
        load(name)


def test_the_named_folder_comes_before_the_cache(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine"
    mnist_files(cache / "mnist", seed=1)
    assert (load("mnist").x[:20] == arrays(1)[0]).all()
    monkeypatch.setenv("MEMBERWISE_DATA", str(mine))
    with pytest.raises(DataError, match=r"(?s)folder that MEMBERWISE_DATA names does not exist.*mine"):
        load("mnist")
    mnist_files(mine / "mnist", seed=2)
    assert (load("mnist").x[:20] == arrays(2)[0]).all()
    assert [path.name for path in mine.iterdir()] == ["mnist"]


def archive(path: Path, name: str, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as file:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        file.addfile(info, BytesIO(text.encode()))


def test_public_archives_in_the_cache_are_converted_once(cache: Path) -> None:
    archive(cache / "dataset_purchase.tgz", "dataset_purchase", "1,0,1\n2,1,1\n2,0,0\n1,1,0\n")
    dataset = load("purchase100")
    assert dataset.x.tolist() == [[0, 1], [1, 1], [0, 0], [1, 0]]
    assert dataset.x.dtype == np.float32
    assert dataset.y.tolist() == [0, 1, 1, 0]
    assert dataset.classes == ("1", "2")
    (cache / "dataset_purchase.tgz").unlink()
    assert load("purchase100").sha256 == dataset.sha256


def test_a_cache_that_cannot_be_written_is_no_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    archive(cache / "dataset_purchase.tgz", "dataset_purchase", "1,0,1\n2,1,1\n2,0,0\n1,1,0\n")
    monkeypatch.setattr(np, "savez", full)
    assert load("purchase100").records == 4
    assert [path.name for path in cache.iterdir()] == ["dataset_purchase.tgz"]


def test_unpacked_texas_and_raw_adult_are_found(cache: Path) -> None:
    (cache / "texas/100").mkdir(parents=True)
    (cache / "texas/100/feats").write_text("0,1\n1,1\n1,0\n0,0\n")
    (cache / "texas/100/labels").write_text("1\n1\n2\n2\n")
    assert load("texas100").y.tolist() == [0, 0, 1, 1]
    row = "39, Private, 77516, Bachelors, 13, Divorced, Sales, Wife, White, Female, 0, 0, 40, Cuba, "
    (cache / "adult.data").write_text(row + "<=50K\n" + row + ">50K\n")
    (cache / "adult.test").write_text("|1x3 Cross validator\n" + row + ">50K.\n" + row + "<=50K.\n")
    first, again = load("adult", group="sex"), load("adult", group="sex")
    assert (cache / "adult.csv").is_file()
    assert first.sha256 == again.sha256
    assert first.test is not None
    assert first.test.tolist() == [2, 3]
    assert first.groups is not None
    assert set(first.groups) == {"Female"}


def test_faces_come_by_scikit_learns_fetcher(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    datasets = pytest.importorskip("sklearn.datasets")
    home = tmp_path / "scikit" / "lfw_home"
    for person, shade, pictures in (("Ann_Lee", 40, 20), ("Bo", 99, 19), ("Cy_Ho", 200, 21)):
        folder = home / "lfw_funneled" / person
        folder.mkdir(parents=True)
        for number in range(pictures):
            image.new("RGB", (250, 250), (shade,) * 3).save(folder / f"{number:04}.jpg")
    for name in ("pairsDevTrain.txt", "pairsDevTest.txt", "pairs.txt"):
        (home / name).touch()
    fetcher = datasets.fetch_lfw_people
    monkeypatch.setattr(
        datasets,
        "fetch_lfw_people",
        lambda data_home, **kwargs: fetcher(data_home=home.parent, download_if_missing=False, **kwargs),
    )
    dataset = load("lfw62")
    assert dataset.x.shape == (41, 48, 48)
    assert dataset.x.dtype == np.uint8
    assert dataset.classes == ("Ann_Lee", "Cy_Ho")
    assert [int(dataset.x[dataset.y == k].mean().round()) for k in (0, 1)] == [40, 200]
    assert [path.name for path in cache.iterdir()] == ["lfw62.npz"]


def test_faces_offline_are_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", offline)
    with pytest.raises(DataError, match=r"(?s)'lfw62' are not on this machine.*lfw62.npz.*vis-www.cs.umass.edu"):
        load("lfw62")


def test_published_hashes_are_sha256_and_sources_say_needs() -> None:
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.summary
        assert source.needs
        assert source.terms
        assert len(source.remotes) in (0, len(source.originals[0]) if source.originals else 0)
        for remote in source.remotes:
            assert len(bytes.fromhex(remote.sha256)) == 32
