"""Find a named source: in $MEMBERWISE_DATA, in the user's cache, or at its public home with a checked SHA-256."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from memberwise.data.catalogue import Source
from memberwise.data.files import Content, read_file
from memberwise.errors import DataError
from memberwise.types.arrays import Arrays

VARIABLE = "MEMBERWISE_DATA"

# The part of a 250 x 250 photograph that shows the face, and the share to which it is reduced (to 48 x 48).
LFW_CENTRE = slice(61, 189)
LFW_SHARE = 0.375


def fetch(source: Source, progress: bool = True) -> Content:
    """The arrays or the table of a named source that has files.

    Args:
        source: an entry of ``SOURCES``.
        progress: show a bar on standard error while downloading.

    What is downloaded, or found in its original format in the cache, is kept in the cache in our format.

    Raises:
        DataError: not found and not to be had; the message says which file belongs where.
    """
    cache = cache_folder()
    for folder in _folders():
        if (folder / source.file).is_file():
            return read_file(folder / source.file)
        for names in source.originals:
            paths = [folder / name for name in names]
            if source.read is not None and all(path.is_file() for path in paths):
                content = source.read(paths)
                return _keep(content, cache / source.file) if folder == cache else content
    if source.name == "lfw62":
        return _keep(_faces(source, cache), cache / source.file)
    if source.read is None or not source.remotes:
        raise _not_here(source, "it is not downloaded, because no SHA-256 of it is published to check it by")
    paths = [cache / name for name in source.originals[0]]
    for remote, path in zip(source.remotes, paths, strict=True):
        _download(source, remote.url, remote.sha256, path, progress)
    return _keep(source.read(paths), cache / source.file)


def at_hand(source: Source) -> bool:
    """The source's files are on this machine, or it comes with a library."""
    if source.folder:
        return any((folder / source.folder).is_dir() for folder in _folders())
    ways = [(source.file,), *source.originals]
    return not source.file or any(all((f / name).is_file() for name in way) for f in _folders() for way in ways)


def find_file(name: str) -> Path | None:
    """A file by its path below the data folder, such as what was published beside a source; None where it is not."""
    return next((folder / name for folder in _folders() if (folder / name).is_file()), None)


def find_folder(source: Source) -> Path:
    """The folder of images of a named source that has one.

    Raises:
        DataError: it is not there; the message says where it belongs.
    """
    for folder in _folders():
        if (folder / source.folder).is_dir():
            return folder / source.folder
    raise _not_here(source, "no such folder; images are not downloaded")


def cache_folder() -> Path:
    """The user's cache of data sets."""
    import pooch

    return Path(pooch.os_cache("memberwise"))


def _folders() -> list[Path]:
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_dir():
        raise DataError(
            f"the folder that {VARIABLE} names does not exist", found=named, fix=f"correct or unset {VARIABLE}"
        )
    return ([Path(named)] if named else []) + [cache_folder()]


def _download(source: Source, url: str, sha256: str, path: Path, progress: bool) -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")  # the bar tells enough
    try:
        pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=path.name, path=path.parent, progressbar=progress)
    except ValueError as error:  # pooch removes what it has downloaded
        raise _not_here(source, f"{url} is not the file it should be (SHA-256 {sha256})") from error
    except OSError as error:  # requests' exceptions are OSErrors too
        raise _not_here(source, f"{url}: {type(error).__name__}") from error


def _faces(source: Source, cache: Path) -> Arrays:
    """Labeled Faces in the Wild by scikit-learn's fetcher, which checks SHA-256; its unpacked files are not kept."""
    from sklearn.datasets import fetch_lfw_people

    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        try:
            faces = fetch_lfw_people(
                data_home=folder, min_faces_per_person=20, slice_=(LFW_CENTRE, LFW_CENTRE), resize=LFW_SHARE
            )
        except OSError as error:
            raise _not_here(source, f"{source.home}: {type(error).__name__}") from error
    return {
        "x": np.rint(faces.images * 255).astype(np.uint8),
        "y": faces.target,
        "classes": np.array([name.replace(" ", "_") for name in faces.target_names], dtype=str),
    }


def _keep(content: Content, path: Path) -> Content:
    """Write what was read into the cache, whole or not at all, and hand it on; a full or locked cache is no error."""
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / path.name
        if isinstance(content, pd.DataFrame):
            content.to_csv(part, index=False)
        else:
            np.savez(part, **content)  # type: ignore[arg-type]
        part.replace(path)
    return content


def _not_here(source: Source, reason: str) -> DataError:
    files = " or ".join([source.file or source.folder, *(" and ".join(names) for names in source.originals)])
    return DataError(
        f"the data of {source.name!r} are not on this machine and cannot be downloaded",
        expected=files,
        found=reason,
        where=", ".join(str(folder) for folder in _folders()),
        fix=f"get it from {source.home} and put it there, or set {VARIABLE} to the folder that holds it",
    )
