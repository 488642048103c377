"""Image files become arrays of bytes: one size, grey or RGB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from memberwise.errors import DataError, StudyError

if TYPE_CHECKING:
    from PIL.Image import Image

# What is read, and by which of Pillow's decoders; others (EPS starts a program) are not tried.
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")
# Images of one size are read as they are up to so many bytes in all; beyond that a size must be named.
MOST_BYTES = 2**31


@dataclass(frozen=True)
class ImageOptions:
    """How the images of a folder are read.

    Attributes:
        size: (width, height) to which every image is stretched; None: all have one size already.
        colour: None: grey where all images are, else RGB.
        least: classes with fewer images are left out.
    """

    size: tuple[int, int] | None = None
    colour: Literal["grey", "rgb"] | None = None
    least: int = 1

    @classmethod
    def of(cls, query: str, where: str) -> Self:
        """From ``size=64&colour=grey&least=20``; ``size=64x48`` is 64 wide and 48 high.

        Raises:
            StudyError: an option that is not one, given twice, or with a value it cannot have.
        """
        pairs = [part.partition("=")[::2] for part in query.split("&") if part]
        values = dict(pairs)
        try:
            options = cls()
            if "size" in values:
                width, _, height = values.pop("size").partition("x")
                options = cls((int(width), int(height or width)))
            colour, least = values.pop("colour", None), int(values.pop("least", "1"))
            options = cls(options.size, colour, least)  # type: ignore[arg-type]
            usable = min(least, *(options.size or (1,))) > 0 and colour in (None, "grey", "rgb")
        except ValueError:
            usable = False
        if values or not usable or len(dict(pairs)) < len(pairs):
            raise StudyError(
                "the options of a folder of images are not understood",
                expected="size=64 or size=64x48 (width x height), colour=grey or colour=rgb, least=20 (images of a "
                "class), each once, with & between them",
                found=query,
                where=where,
            )
        return options


def read_images(paths: Sequence[Path], options: ImageOptions, source: str) -> NDArray[np.uint8]:
    """``(n, H, W)`` where grey, else ``(n, 3, H, W)``, in the order of ``paths``.

    Of several frames the first is read, transparency is dropped, the camera's note on rotation (EXIF) is not heeded
    (TIFF's own is), 16-bit shades are divided by 256. Grey from colours is their luma (ITU-R 601). Sizes change
    bilinearly, averaging over what becomes one pixel.

    Raises:
        DataError: a broken image (named), several sizes, or too many bytes, where no size is asked for.
    """
    with ThreadPoolExecutor() as pool:
        sizes, greys = zip(*pool.map(_look, paths), strict=True)
        grey = all(greys) if options.colour is None else options.colour == "grey"
        width, height = options.size or _one_size(sizes, paths, 1 if grey else 3, source)
        x = np.empty((len(paths), height, width) if grey else (len(paths), 3, height, width), np.uint8)

        def fill(row: int) -> None:
            pixels = _pixels(paths[row], grey, (width, height))
            x[row] = pixels if grey else np.moveaxis(pixels, -1, 0)

        for _ in pool.map(fill, range(len(paths))):
            pass
    return x


def _one_size(sizes: Sequence[tuple[int, int]], paths: Sequence[Path], channels: int, source: str) -> tuple[int, int]:
    """The size that all have, small enough to be held."""
    often = Counter(sizes).most_common()
    (width, height), _ = often[0]
    if len(often) > 1:
        shown = ", ".join(f"{w} x {h} ({count:,})" for (w, h), count in often[:4])
        other = next(path for path, size in zip(paths, sizes, strict=True) if size != often[0][0])
        raise DataError(
            "the images have different sizes",
            expected="one size, width x height",
            found=shown + (f" and {len(often) - 4} more sizes" if len(often) > 4 else ""),
            where=f"{source}, for example {other}",
            fix=f'name the size to which they are stretched: "{source}{"&" if "?" in source else "?"}size=64"',
        )
    needed = len(paths) * channels * width * height
    if needed > MOST_BYTES:
        raise DataError(
            f"the images are large: {needed / 1e9:.1f} GB once unpacked",
            expected=f"at most {MOST_BYTES / 1e9:.1f} GB where no size is named",
            found=f"{len(paths):,} images of {width} x {height}",
            where=source,
            fix=f'reduce them, "{source}?size=64", or ask for them as they are, "{source}?size={width}x{height}"',
        )
    return width, height


def _look(path: Path) -> tuple[tuple[int, int], bool]:
    """Size, and whether it is grey, by the file's head."""
    with _opened(path) as image:
        return image.size, image.mode in GREY


def _pixels(path: Path, grey: bool, size: tuple[int, int]) -> NDArray[np.uint8]:
    from PIL import Image

    with _opened(path) as image:
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif image.mode in ("I", "F"):
            raise ValueError("shades of 32 bits, whose range is not known")
        image = image.convert("L" if grey else "RGB")
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(image)


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except Exception as error:  # decoders fail on broken files in many ways
        raise DataError(
            f"{path.name} cannot be read as an image",
            expected=", ".join(FORMATS),
            found=next(iter(str(error).splitlines()), type(error).__name__),
            where=str(path),
            fix="mend the file or take it away",
        ) from error
