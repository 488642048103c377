from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from memberwise.cli.main import app
from memberwise.data import SOURCES, at_hand, load
from memberwise.errors import DataError, StudyError

RED, BLUE = (200, 0, 0), (0, 0, 100)


def draw(path: Path, colour: int | tuple[int, ...], size: tuple[int, int] = (6, 4), mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode or ("L" if isinstance(colour, int) else "RGB"), size, colour).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of different formats, written in no particular order; 6 wide and 4 high."""
    folder = tmp_path / "photos"
    draw(folder / "dog" / "b.PNG", BLUE)
    draw(folder / "dog" / "a.bmp", (0, 0, 90))
    draw(folder / "cat" / "more" / "1.png", (210, 0, 0))
    draw(folder / "cat" / "z.webp", RED)
    draw(folder / "cat" / "a.png", 7)
    (folder / "LICENCE.txt").write_text("a note beside the classes")
    (folder / "cat" / ".DS_Store").write_bytes(b"left behind")
    (folder / "cat" / "Thumbs.db").write_bytes(b"left behind")
    return folder


def test_the_class_is_the_sub_folder_in_sorted_order(photos: Path) -> None:
    data = load(photos)
    assert data.classes == ("cat", "dog")
    assert data.y.tolist() == [0, 0, 0, 1, 1]  # cat/a.png, cat/more/1.png, cat/z.webp, dog/a.bmp, dog/b.PNG
    assert (data.x.shape, data.x.dtype, data.kind) == ((5, 3, 4, 6), np.uint8, "image")  # type: ignore[comparison-overlap]
    np.testing.assert_allclose(data.x[:, 0, 1, 2], [7, 210, 200, 0, 0], atol=6)  # WebP is lossy
    np.testing.assert_array_equal(data.x[3:, 2, 0, 0], [90, 100])
    assert data.test is None
    assert load(str(photos)).sha256 == data.sha256
    assert data.source == str(photos)


def test_pixels_are_where_the_file_has_them(tmp_path: Path) -> None:
    shades = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    for k in range(4):
        path = draw(tmp_path / "ab"[k % 2] / f"{k}.png", BLUE)
        Image.fromarray(shades + k).save(path)
    data = load(tmp_path)
    for row, k in enumerate((0, 2, 1, 3)):
        np.testing.assert_array_equal(data.x[row], (shades + k).transpose(2, 0, 1))
    grey = load(f"{tmp_path}?colour=grey").x
    luma = data.x.astype(float).transpose(0, 2, 3, 1) @ [0.299, 0.587, 0.114]
    assert abs(grey - luma).max() <= 1


def test_grey_images_stay_grey_unless_told(tmp_path: Path) -> None:
    for k in range(4):
        draw(tmp_path / "ab"[k % 2] / f"{k}.jpg", 50 * k)
    assert load(tmp_path).x.shape == (4, 4, 6)
    assert load(tmp_path).x[:, 0, 0].tolist() == [0, 100, 50, 150]
    assert load(f"{tmp_path}?colour=rgb").x.shape == (4, 3, 4, 6)


def test_modes_of_the_file_formats(tmp_path: Path) -> None:
    """16 bits are divided by 256, one bit is black and white, a palette is colours, transparency is dropped."""
    Image.fromarray(np.full((4, 6), 40 * 256 + 255, np.uint16)).save(draw(tmp_path / "a" / "1.png", 0))
    draw(tmp_path / "a" / "2.pbm", 1, mode="1")
    draw(tmp_path / "b" / "3.png", (30, 99), mode="LA")
    draw(tmp_path / "b" / "4.pgm", 12)
    assert load(tmp_path).x[:, 0, 0].tolist() == [40, 255, 30, 12]
    Image.new("RGB", (6, 4), (1, 2, 3)).quantize(2).save(tmp_path / "b" / "5.gif")
    draw(tmp_path / "b" / "6.png", (4, 5, 6, 7), mode="RGBA")
    assert load(tmp_path).x[-2:, :, 0, 0].tolist() == [[1, 2, 3], [4, 5, 6]]
    Image.fromarray(np.ones((4, 6), np.float32)).save(tmp_path / "b" / "7.tif")
    with pytest.raises(DataError, match=r"(?s)7.tif cannot be read.*32 bits"):
        load(tmp_path)


def test_the_camera_s_rotation_is_not_heeded(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    for k in range(4):
        draw(tmp_path / "ab"[k % 2] / f"{k}.jpg", BLUE)
    Image.new("RGB", (6, 4), RED).save(tmp_path / "a" / "0.jpg", exif=exif)
    assert load(tmp_path).x.shape == (4, 3, 4, 6)


def test_different_sizes_need_a_size(photos: Path) -> None:
    draw(photos / "dog" / "wide.png", BLUE, size=(9, 4))
    with pytest.raises(DataError) as caught:
        load(photos)
    assert caught.value.found == "6 x 4 (5), 9 x 4 (1)"
    assert "wide.png" in str(caught.value.where)
    assert f'"{photos}?size=64"' in str(caught.value.fix)
    with pytest.raises(DataError, match=r"colour=grey&size=64"):
        load(f"{photos}?colour=grey")
    assert load(f"{photos}?size=5").x.shape == (6, 3, 5, 5)
    assert load(f"{photos}?size=3x2&colour=grey").x.shape == (6, 2, 3)


def test_reducing_averages(tmp_path: Path) -> None:
    checks = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)
    for k in range(4):
        Image.fromarray(checks).save(draw(tmp_path / "ab"[k % 2] / f"{k}.png", 0))
    assert abs(load(f"{tmp_path}?size=4").x.astype(int) - 127).max() <= 2


def test_large_images_need_a_size(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memberwise.data.images.MOST_BYTES", 5 * 3 * 4 * 6 - 1)
    with pytest.raises(DataError, match=r"(?s)images are large.*5 images of 6 x 4.*size=6x4"):
        load(photos)
    assert load(f"{photos}?size=6x4").x.shape == (5, 3, 4, 6)


def test_rare_classes_are_left_out(tmp_path: Path) -> None:
    """As the face sets are cut: people with a least number of photographs."""
    for person, count in (("Ann", 3), ("Bo", 2), ("Cy", 4)):
        for k in range(count):
            draw(tmp_path / person / f"{k:03}.jpg", 10 * k)
    data = load(f"{tmp_path}?least=3")
    assert data.classes == ("Ann", "Cy")
    assert np.bincount(data.y).tolist() == [3, 4]
    assert data.x[:, 0, 0].tolist() == [0, 10, 20, 0, 10, 20, 30]
    with pytest.raises(DataError, match=r"(?s)no class has 5 images.*4 at most"):
        load(f"{tmp_path}?least=5")


def test_parts_are_pooled_and_the_test_part_stays_apart(tmp_path: Path) -> None:
    for place, part in enumerate(("test", "train", "val")):
        for k in range(2):
            draw(tmp_path / part / "ab"[k] / "1.png", 10 * place + k)
    data = load(tmp_path)
    assert data.classes == ("a", "b")
    assert data.x[:, 0, 0].tolist() == [10, 11, 20, 21, 0, 1]  # train, val, test
    assert data.test is not None
    assert data.test.tolist() == [4, 5]
    draw(tmp_path / "bird" / "1.png", 0)  # then they are classes like others
    draw(tmp_path / "bird" / "2.png", 0)
    assert load(tmp_path).classes == ("bird", "test", "train", "val")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("size=0", "size=0"),
        ("size=big", "size=big"),
        ("size=4x", None),
        ("size=4x5x6", "size=4x5x6"),
        ("size=4&size=5", "size=4&size=5"),
        ("colour=blue", "colour=blue"),
        ("least=0", "least=0"),
        ("least=-1", "least=-1"),
        ("color=grey", "color=grey"),
        ("64", "64"),
    ],
)
def test_options_that_are_none(photos: Path, query: str, found: str | None) -> None:
    if found is None:
        assert load(f"{photos}?{query}").shape == (3, 4, 4)
        return
    with pytest.raises(StudyError, match="options of a folder of images are not understood") as caught:
        load(f"{photos}?{query}")
    assert caught.value.found == found
    assert caught.value.exit_code == 2


def test_options_of_other_sources_are_refused(tmp_path: Path) -> None:
    for source in ("digits", "cat", str(tmp_path / "a.npz")):
        with pytest.raises(StudyError, match=r"is not a folder of images, which alone takes options"):
            load(f"{source}?size=3")
    folder = tmp_path / "really?"
    for k in range(4):
        draw(folder / "ab"[k % 2] / f"{k}.png", k)
    assert load(str(folder)).records == 4


def broken(photos: Path) -> None:
    path, noise = photos / "dog" / "c.jpg", np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:1500])  # the head and a part of the pixels


def text(photos: Path) -> None:
    (photos / "dog" / "c.png").write_text("not an image")


def note(photos: Path) -> None:
    (photos / "dog" / "notes.txt").write_text("nice dogs")


def stray(photos: Path) -> None:
    draw(photos / "stray.png", BLUE)


def empty(photos: Path) -> None:
    for path in sorted(photos.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def one_class(photos: Path) -> None:
    for path in (photos / "dog").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (broken, r"c.jpg cannot be read as an image.*truncated.*where: .*dog.c.jpg.*take it away"),
        (text, r"c.png cannot be read as an image"),
        (note, r"notes.txt is not an image.*FOLDER/CLASS/IMAGE"),
        (stray, r"stray.png is in no class.*metadata.csv"),
        (empty, r"no images in the folder.*FOLDER/CLASS/IMAGE"),
        (one_class, r"all records are of one class.*found: cat"),
    ],
)
def test_folders_that_cannot_be_audited(photos: Path, change: Callable[[Path], None], message: str) -> None:
    change(photos)
    with pytest.raises(DataError, match=f"(?s){message}"):
        load(f"{photos}?size=6x4")


def test_files_lying_about_format_reach_no_other_decoder(photos: Path) -> None:
    (photos / "dog" / "c.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n%%EndComments\n")
    with pytest.raises(DataError, match=r"c.png cannot be read as an image"):
        load(photos)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_damaged_files_are_named_or_read(photos: Path, ending: str) -> None:
    path = draw(photos / "dog" / f"c.{ending}", BLUE)
    whole, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    for _ in range(60):
        damaged = whole.copy()
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            assert load(f"{photos}?size=4").x.shape == (6, 3, 4, 4)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017


# A table beside the images.


def write_table(folder: Path, rows: list[str], name: str = "metadata.csv") -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(rows) + "\n")


def test_a_table_names_files_and_classes(tmp_path: Path) -> None:
    for k in range(4):
        draw(tmp_path / "deep" / f"{k}.png", 10 * k)
    (tmp_path / "deep" / "notes.txt").write_text("not in the table, so it does not matter")
    draw(tmp_path / "deep" / "unlisted.png", 99)
    rows = ["3.png,b,x,p1,40", "0.png,a,y,p1,41", "2.png,b,,p2,42", "1.png,a,y,p3,43"]
    write_table(tmp_path, ["file,label,sex,patient,age", *rows], "anything.csv")
    data = load(tmp_path, group="sex", unit="patient")
    assert data.x[:, 0, 0].tolist() == [30, 0, 20, 10]  # the table's order
    assert data.y.tolist() == [1, 0, 1, 0]
    assert data.units is not None
    assert data.units.tolist() == ["p1", "p1", "p2", "p3"]
    assert data.groups is not None
    assert data.groups.tolist() == ["x", "y", "(missing)", "y"]
    assert (data.group, data.unit) == ("sex", "patient")


@pytest.mark.parametrize("form", ["deep/{}.png", "{}.png", "{}"])
def test_files_are_named_by_path_name_or_stem(form: str, tmp_path: Path) -> None:
    for k in range(4):
        draw(tmp_path / "deep" / f"{k}.png", 10 * k)
    write_table(tmp_path, ["age,picture,label", *(f"1,{form.format(k)},{'ab'[k % 2]}" for k in range(4))])
    assert load(tmp_path).x[:, 0, 0].tolist() == [0, 10, 20, 30]


TABLE = ["file,label", "0.png,a", "1.png,b", "2.png,a", "3.png,b"]


@pytest.mark.parametrize(
    ("rows", "label", "message"),
    [
        (TABLE, "kind", r"no label column 'kind'.*file, label.*--label COLUMN"),
        (
            [*TABLE, "9.png,a"],
            None,
            r"images of the table are not there.*1 of 5 in column file, the first 9.png.*row 4",
        ),
        ([*TABLE, ",a"], None, r"images of the table are not there"),
        ([*TABLE, "0.png,"], None, r"labels are missing.*row 4"),
        (["file,label", "x,a", "y,b"], None, r"no column of metadata.csv names images.*take the table away"),
        (["file,label"], None, r"no records"),
        ([*TABLE, "4.png,c"], None, r"1 of 3 classes have fewer than 2 records"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, rows: list[str], label: str | None, message: str) -> None:
    for k in range(5):
        draw(tmp_path / f"{k}.png", k)
    write_table(tmp_path, rows)
    with pytest.raises(DataError, match=f"(?s){message}"):
        load(tmp_path, label=label)


def test_a_name_that_several_images_have(tmp_path: Path) -> None:
    """Copies of one image are one; others are told apart by their paths."""
    for k in range(4):
        draw(tmp_path / "a" / f"{k}.png", k)
        draw(tmp_path / "b" / f"{k}.png", k)
    write_table(tmp_path, TABLE)
    assert load(tmp_path).x[:, 0, 0].tolist() == [0, 1, 2, 3]
    draw(tmp_path / "b" / "2.png", 77)
    with pytest.raises(DataError, match=r"(?s)2.png stands for several images.*a.2.png and .*b.2.png"):
        load(tmp_path)


def test_columns_without_a_table_and_several_tables(photos: Path) -> None:
    with pytest.raises(StudyError, match=r"(?s)no table with columns.*--unit patient"):
        load(photos, unit="patient")
    write_table(photos, TABLE, "one.csv")
    write_table(photos, TABLE, "two.csv")
    with pytest.raises(DataError, match=r"(?s)several tables.*one.csv, two.csv.*metadata.csv"):
        load(photos)


# HAM10000 as it is distributed.


@pytest.fixture
def ham10000(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.int64]:
    """Ten lesions with two images each; the shades of the images by row of the table."""
    folder, rng = tmp_path / "ham10000", np.random.default_rng(0)
    rows = []
    for image in rng.permutation(20):
        draw(
            folder / f"HAM10000_images_part_{1 + image % 2}" / f"ISIC_{image:07}.jpg", (10 * int(image), 0, 0), (60, 45)
        )
        rows.append(f"HAM_{image // 2:07},ISIC_{image:07},{'nv' if image // 2 % 2 else 'mel'},histo,50.0,male,back")
    write_table(folder, ["lesion_id,image_id,dx,dx_type,age,sex,localization", *rows], "HAM10000_metadata.csv")
    write_table(folder, ["pixel0000,label", "1,2"], "hmnist_8_8_L.csv")
    monkeypatch.setenv("MEMBERWISE_DATA", str(tmp_path))
    return np.array([int(row.split("ISIC_")[1][:7]) for row in rows])


def test_ham10000_has_the_lesion_as_unit(ham10000: NDArray[np.int64], tmp_path: Path) -> None:
    assert at_hand(SOURCES["ham10000"])
    data = load("ham10000?size=16x12")
    assert data.classes == ("mel", "nv")
    assert data.shape == (3, 12, 16)
    np.testing.assert_allclose(data.x[:, 0].mean((1, 2)), 10 * ham10000, atol=3)
    assert data.units is not None
    assert data.units.tolist() == [f"HAM_{image // 2:07}" for image in ham10000]
    assert data.unit == "lesion_id"
    assert data.y.tolist() == (ham10000 // 2 % 2).tolist()
    assert load(f"{tmp_path / 'ham10000'}?size=16x12").sha256 == data.sha256
    other = load("ham10000", group="sex", unit="image_id")
    assert other.shape == (3, 45, 60)
    assert other.units is not None
    assert len(set(other.units)) == 20


def test_ham10000_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBERWISE_DATA", str(tmp_path))
    assert not at_hand(SOURCES["ham10000"])
    assert "the folder ham10000 in $MEMBERWISE_DATA" in SOURCES["ham10000"].needs
    with pytest.raises(DataError, match=r"(?s)expected: ham10000.*doi.org"):
        load("ham10000?size=32")


# On the command line.


@pytest.mark.slow
def test_check_and_audit_of_a_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(120):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(
            draw(tmp_path / "faces" / "ab"[k % 2] / f"{k}.png", 0)
        )
    run = CliRunner()
    checked = run.invoke(app, ["data", "check", str(tmp_path / "faces")])
    assert checked.exit_code == 0, checked.output
    assert "image, uint8 of shape (8, 8) a record" in checked.output
    flags = ["--shadow-models", "2", "--attacks", "loss", "--quiet", "--out", str(tmp_path / "run")]
    flags += ["--set", "model.hidden=[8]", "--set", "training.epochs=1"]
    audited = run.invoke(app, ["audit", "--data", f"{tmp_path / 'faces'}?size=4", *flags])
    assert audited.exit_code == 0, audited.output
    assert (tmp_path / "run" / "result.json").is_file()
    draw(tmp_path / "faces" / "a" / "wide.png", 0, (9, 8))
    refused = run.invoke(app, ["audit", "--data", str(tmp_path / "faces"), "--quiet", "--out", str(tmp_path / "new")])
    assert refused.exit_code == 2
    assert "different sizes" in refused.stderr
