"""The real data sets, where they are on this machine, against figures published by others."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memberwise.data import Dataset, RoleSpec, assign_roles, duplicates, encode, load
from memberwise.data.archives import read_adult
from memberwise.data.catalogue import SOURCES
from memberwise.data.pixels import read_cifar10
from memberwise.seeds import Seeds

# SHA-256 of the uncompressed train-images-idx3-ubyte and of the files in cifar-10-binary.tar.gz, as published.
MNIST_TRAIN_IMAGES = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
CIFAR10_BATCHES = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}


def loaded(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **columns: str) -> Dataset:
    if not (folder / SOURCES[name].file).is_file():
        pytest.skip(f"needs {SOURCES[name].file} in MEMBERWISE_DATA")
    monkeypatch.setenv("MEMBERWISE_DATA", str(folder))
    return load(name, **columns)  # type: ignore[arg-type]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_mnist(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist = loaded("mnist", real_data, monkeypatch)
    assert (mnist.x.shape, mnist.x.dtype, mnist.kind) == ((70_000, 28, 28), np.uint8, "image")  # type: ignore[comparison-overlap]
    assert mnist.test is not None
    assert mnist.test.tolist() == list(range(60_000, 70_000))
    train = mnist.x[:60_000]
    assert sha256(struct.pack(">4i", 2051, *train.shape) + train.tobytes()) == MNIST_TRAIN_IMAGES
    assert np.bincount(mnist.y[:60_000]).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert mnist.sha256 == "59ab76b6c741fcaa2382602399d12aee8eaf4e386a368e9c49df925aa9ebe8be"
    _, roles = assign_roles(mnist, RoleSpec(members=3000, nonmembers=3000, population=3000), Seeds(1))
    assert [roles.counts[name] for name in ("members", "nonmembers", "population", "test")] == [
        3000,
        3000,
        3000,
        10_000,
    ]
    assert duplicates(mnist, roles.members, roles.nonmembers) == []


def test_cifar10_is_the_original_in_its_order(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar = loaded("cifar10", real_data, monkeypatch)
    assert (cifar.x.shape, cifar.x.dtype) == ((60_000, 3, 32, 32), np.uint8)  # type: ignore[comparison-overlap]
    assert cifar.classes[:3] == ("airplane", "automobile", "bird")
    assert (np.bincount(cifar.y) == 6000).all()
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w") as archive:
        for k, (name, published) in enumerate(CIFAR10_BATCHES.items()):
            part = slice(10_000 * k, 10_000 * (k + 1))
            rows = np.column_stack([cifar.y[part].astype(np.uint8), cifar.x[part].reshape(10_000, -1)])
            assert sha256(rows.tobytes()) == published
            info = tarfile.TarInfo(name)
            info.size = rows.nbytes
            archive.addfile(info, io.BytesIO(rows.tobytes()))
        names = "\n".join(cifar.classes).encode()
        info = tarfile.TarInfo("batches.meta.txt")
        info.size = len(names)
        archive.addfile(info, io.BytesIO(names))
    arrays = read_cifar10([path])
    assert (arrays["x_train"] == cifar.x[:50_000]).all()
    assert (arrays["y_test"] == cifar.y[50_000:]).all()


def test_cifar100(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar = loaded("cifar100", real_data, monkeypatch)
    assert cifar.shape == (3, 32, 32)
    assert len(cifar.classes) == 100
    assert cifar.test is not None
    assert (np.bincount(cifar.y[cifar.test]) == 100).all()


def test_location30(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    location = loaded("location30", real_data, monkeypatch)
    assert (location.x.shape, location.x.dtype, location.kind) == ((5010, 446), np.float32, "table")  # type: ignore[comparison-overlap]
    assert set(np.unique(location.x)) == {0, 1}
    counts = np.bincount(location.y)
    assert (len(counts), counts.min(), counts.max()) == (30, 97, 308)
    assert location.test is None


def test_lfw62(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = loaded("lfw62", real_data, monkeypatch)
    assert (faces.x.shape, faces.x.dtype) == ((3023, 48, 48), np.uint8)  # type: ignore[comparison-overlap]
    counts = np.bincount(faces.y)
    assert (len(counts), counts.min(), counts.max()) == (62, 20, 530)
    assert faces.classes[int(counts.argmax())] == "George_W_Bush"


@pytest.mark.slow
def test_adult_encodes_to_108_columns(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adult = loaded("adult", real_data, monkeypatch, group="sex")
    assert adult.records == 48_842
    assert adult.classes == ("<=50K", ">50K")
    assert adult.test is not None
    assert len(adult.test) == 16_281
    assert round(float(adult.y[: -len(adult.test)].mean()), 3) == 0.241
    assert adult.groups is not None
    assert set(adult.groups) == {"Female", "Male"}
    encoded = encode(adult, np.arange(adult.records))
    assert encoded.x.shape == (48_842, 108)
    assert encoded.feature_names is not None
    assert encoded.feature_names[:2] == ("age", "fnlwgt")
    assert "native_country=Holand-Netherlands" in encoded.feature_names
    assert abs(encoded.x[:, :6].mean(0)).max() < 1e-5
    np.testing.assert_allclose(encoded.x[:, :6].astype(np.float64).std(0), 1, atol=1e-5)
    assert (encoded.x[:, 6:].sum(1) == 8).all()
    assert adult.sha256 == loaded("adult", real_data, monkeypatch, group="sex").sha256


def test_adult_s_published_files_are_rebuilt_byte_for_byte(real_data: Path, tmp_path: Path) -> None:
    """The table written out in the original's format has the published SHA-256, and is read back as it was."""
    if not (real_data / "adult.csv").is_file():
        pytest.skip("needs adult.csv in MEMBERWISE_DATA")
    frame = pd.read_csv(real_data / "adult.csv", dtype=str, keep_default_na=False)
    paths = []
    for split, head, stop, remote in zip(
        ("train", "test"), ("", "|1x3 Cross validator\n"), ("", "."), SOURCES["adult"].remotes, strict=True
    ):
        rows = frame[frame["split"] == split].drop(columns="split")
        lines = (", ".join(row) + stop + "\n" for row in rows.itertuples(index=False))
        content = (head + "".join(lines) + "\n").encode()
        assert sha256(content) == remote.sha256
        paths.append(tmp_path / split)
        paths[-1].write_bytes(content)
    assert read_adult(paths).astype(str).equals(frame.astype(str))
