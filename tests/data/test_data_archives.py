from __future__ import annotations

import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from memberwise.data.archives import read_adult, read_labelled_lines, read_texas
from memberwise.data.pixels import read_cifar10, read_cifar100, read_idx, read_mnist
from memberwise.errors import DataError


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def lines(table: NDArray[np.integer]) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in table).encode()


def bits(records: int, features: int, seed: int = 0) -> NDArray[np.integer]:
    return np.random.default_rng(seed).integers(0, 2, (records, features))


@pytest.mark.parametrize("quotes", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_purchase_and_location_format(quotes: bool, packed: bool, tmp_path: Path) -> None:
    x, y = bits(20, 600), np.arange(20) * 5 + 1
    text = lines(np.column_stack([y, x]))
    if quotes:
        text = b"".join(b'"' + line.replace(b",", b'",', 1) + b"\n" for line in text.splitlines())
    path = tmp_path / "dataset_purchase"
    if packed:
        pack(tmp_path / "p.tgz", {"._dataset_purchase": b"\0\1", "dataset_purchase": text})
        path = tmp_path / "p.tgz"
    else:
        path.write_bytes(text)
    arrays = read_labelled_lines([path])
    assert (arrays["x"] == x).all()
    assert (arrays["y"] == y).all()


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_texas_format(packed: bool, tmp_path: Path) -> None:
    x, y = bits(10, 6169), np.arange(10)[:, None] * 11 + 1
    files = {"texas/100/desc": b"hospital", "texas/100/feats": lines(x), "texas/100/labels": lines(y)}
    if packed:
        paths = [pack(tmp_path / "dataset_texas.tgz", {"texas/50/feats": b"1,0\n", **files})]
    else:
        paths = [tmp_path / "feats", tmp_path / "labels"]
        for path in paths:
            path.write_bytes(files[f"texas/100/{path.name}"])
    arrays = read_texas(paths)
    assert (arrays["x"] == x).all()
    assert (arrays["y"] == y[:, 0]).all()


ROW = "39, State-gov, 77516, Bachelors, 13, Never-married, ?, Not-in-family, White, Male, 2174, 0, 40, Cuba, "


def test_adult_format(tmp_path: Path) -> None:
    (tmp_path / "adult.data").write_text(ROW + "<=50K\n" + ROW + ">50K\n\n")
    (tmp_path / "adult.test").write_text("|1x3 Cross validator\n" + ROW + ">50K.\n")
    frame = read_adult([tmp_path / "adult.data", tmp_path / "adult.test"])
    assert frame["income"].tolist() == ["<=50K", ">50K", ">50K"]
    assert frame["split"].tolist() == ["train", "train", "test"]
    assert frame["occupation"].tolist() == ["?"] * 3
    assert frame["hours_per_week"].tolist() == [40] * 3
    assert frame.shape == (3, 16)


def idx(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_idx_format(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).integers(0, 256, (7, 5, 4)).astype(np.uint8), np.arange(7, dtype=np.uint8)
    paths = [tmp_path / name for name in "abcd"]
    for path, array in zip(paths, (x, y, x[:2], y[:2]), strict=True):
        path.write_bytes(gzip.compress(idx(array), mtime=0) if path.name < "c" else idx(array))
    arrays = read_mnist(paths)
    assert (arrays["x_train"] == x).all()
    assert (arrays["y_train"] == y).all()
    assert (arrays["x_test"] == x[:2]).all()
    assert (arrays["y_test"] == y[:2]).all()


def test_cifar_format(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)
    names = b"airplane\nautomobile\nbird\n\n"

    def records(first: int, last: int, labels: int) -> bytes:
        planes = images[first:last].transpose(0, 3, 1, 2).reshape(last - first, -1)
        numbers = np.array([[90, row % 3] for row in range(first, last)], np.uint8)[:, 2 - labels :]
        return np.concatenate([numbers, planes], axis=1).tobytes()

    ten = {f"cifar-10-batches-bin/data_batch_{i}.bin": records(2 * i - 2, 2 * i, 1) for i in (3, 1, 2, 5, 4)}
    ten |= {"cifar-10-batches-bin/test_batch.bin": records(10, 12, 1), "cifar-10-batches-bin/batches.meta.txt": names}
    hundred = {"c/train.bin": records(0, 10, 2), "c/test.bin": records(10, 12, 2), "c/fine_label_names.txt": names}
    for arrays in (
        read_cifar10([pack(tmp_path / "10.tgz", ten)]),
        read_cifar100([pack(tmp_path / "100.tgz", hundred)]),
    ):
        assert (arrays["x_train"] == images[:10].transpose(0, 3, 1, 2)).all()
        assert (arrays["x_test"] == images[10:].transpose(0, 3, 1, 2)).all()
        assert arrays["y_train"].tolist() == [row % 3 for row in range(10)]
        assert arrays["classes"].tolist() == ["airplane", "automobile", "bird"]


def broken_files(folder: Path) -> list[tuple[object, list[Path]]]:
    def file(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    whole = pack(folder / "whole.tgz", {"dataset_purchase": lines(bits(2000, 50))}).read_bytes()
    return [
        (read_labelled_lines, [file("words", b"1,one\n")]),
        (read_labelled_lines, [file("large", b"1,0\n2,256\n")]),
        (read_labelled_lines, [file("negative", b"1,0\n2,-1\n")]),
        (read_labelled_lines, [file("gap", b"1,0,1\n2,,1\n")]),
        (read_labelled_lines, [file("empty", b"")]),
        (read_labelled_lines, [file("thin", b"1\n2\n")]),
        (read_labelled_lines, [file("cut.tgz", whole[: len(whole) // 2])]),
        (read_labelled_lines, [pack(folder / "nothing.tgz", {})]),
        (read_texas, [pack(folder / "half.tgz", {"texas/100/feats": b"0,1\n"})]),
        (read_texas, [file("feats", b"0,1\n1,1\n"), file("labels", b"1\n")]),
        (read_adult, [file("a.data", b"1,2,3\n"), file("a.test", b"1,2,3\n")]),
        (read_adult, [file("b.data", b""), file("b.test", b"")]),
        (read_cifar10, [pack(folder / "python.tgz", {"cifar-10-batches-py/data_batch_1": b"pickle"})]),
        (read_cifar10, [file("cifar.tgz", b"text")]),
        (
            read_cifar100,
            [pack(folder / "odd.tgz", dict.fromkeys(("train.bin", "test.bin", "fine_label_names.txt"), b"a"))],
        ),
    ]


@pytest.mark.slow
def test_files_of_another_format_are_refused(tmp_path: Path) -> None:
    for reader, paths in broken_files(tmp_path):
        with pytest.raises(DataError, match="does not have the format of its source"):
            reader(paths)  # type: ignore[operator]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"\0\0\x08\x03\0\0",
        idx(np.zeros((3, 2), np.uint8))[:-1],
        gzip.compress(b"\0" * 99, mtime=0)[:-9],
        b"\x1f\x8bno",
    ],
)
def test_broken_idx_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "i").write_bytes(content)
    with pytest.raises(DataError, match="does not have the format of its source"):
        read_idx(tmp_path / "i")


def test_the_python_version_of_cifar_is_named_as_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the Python version holds pickles"):
        read_cifar100([pack(tmp_path / "p.tgz", {"cifar-100-python/train": b""})])


def test_adult_keeps_texts_that_look_missing(tmp_path: Path) -> None:
    row = ROW.replace("Cuba", "NA")
    for name, stop in (("d", ""), ("t", ".")):
        (tmp_path / name).write_text(row + f"<=50K{stop}\n")
    frame = read_adult([tmp_path / "d", tmp_path / "t"])
    assert isinstance(frame, pd.DataFrame)
    assert frame["native_country"].tolist() == ["NA", "NA"]
