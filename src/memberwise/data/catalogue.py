"""The named sources: what each is, its licence, its files, and where they are published with which SHA-256."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from memberwise.data.archives import read_adult, read_in_order, read_labelled_lines, read_texas
from memberwise.data.files import Content
from memberwise.data.medmnist import DIAGNOSES
from memberwise.data.pixels import read_cifar10, read_cifar100, read_mnist
from memberwise.registry import Registry

DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

IDX = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
MNIST_HOME = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FASHION_HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/"
ADULT_HOME = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/"
SHOKRI_HOME = "https://github.com/privacytrustlab/datasets"
MEMGUARD_HOME = "https://github.com/inspire-group/membership-inference-evaluation"
# What that repository keeps under MemGuard/data/location.
MEMGUARD_ORDER = "memguard_location/shuffle_index.npz"
SHOKRI = "Shokri, Stronati, Song, Shmatikov, IEEE S&P 2017; the repository states no licence"
LFW_HOME = "http://vis-www.cs.umass.edu/lfw/"
KRIZHEVSKY = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; no licence stated"


@dataclass(frozen=True)
class Remote:
    """One published file and the SHA-256 it must have."""

    url: str
    sha256: str


@dataclass(frozen=True)
class Source:
    """A named source.

    Attributes:
        name, summary, records, classes, terms, home: for ``memberwise list data``; ``terms`` is citation and licence.
        file: its file as memberwise keeps it, .npz or .csv; "" where it comes with scikit-learn.
        folder: its folder of images, in place of a file.
        originals: the published files, by path below the data folder; each tuple is one way to have them.
        read: turns the paths of one such tuple into arrays or a table.
        remotes: where the files of the first tuple are downloaded from. Empty: no published SHA-256 is known to
            us, and nothing is downloaded unchecked.
        class_names: where the files hold only numbers.
        label, split: columns of a table.
    """

    name: str
    summary: str
    records: str
    classes: int
    terms: str
    home: str
    file: str = ""
    folder: str = ""
    originals: tuple[tuple[str, ...], ...] = ()
    read: Callable[[Sequence[Path]], Content] | None = None
    remotes: tuple[Remote, ...] = ()
    class_names: tuple[str, ...] | None = None
    label: str | None = None
    split: str | None = None

    @property
    def needs(self) -> str:
        """How one comes by it."""
        if self.folder:
            return f"the folder {self.folder} in $MEMBERWISE_DATA; get it from {self.home}"
        if not self.file:
            return "nothing: comes with scikit-learn"
        if self.remotes or self.name == "lfw62":
            return f"a download, or {self.file} in $MEMBERWISE_DATA"
        files = " or ".join((self.file, *(way[0] for way in self.originals[:1])))
        return f"{files} in $MEMBERWISE_DATA; get it from {self.home}"


def _remotes(home: str, files: Sequence[str], hashes: Sequence[str]) -> tuple[Remote, ...]:
    return tuple(Remote(home + file, sha256) for file, sha256 in zip(files, hashes, strict=True))


def _idx(folder: str) -> tuple[tuple[str, ...], ...]:
    return (tuple(f"{folder}/{file}" for file in IDX), tuple(f"{folder}/{file.removesuffix('.gz')}" for file in IDX))


def _dermamnist(size: int) -> Source:
    return Source(
        "dermamnist" if size == 28 else f"dermamnist-{size}",
        f"HAM10000 at {size} x {size} colour, without its lesions' numbers",
        "8,010 + 2,005",
        7,
        "Yang et al., Scientific Data 10:41, 2023; CC BY-NC 4.0",
        "https://medmnist.com",
        file="dermamnist.npz" if size == 28 else f"dermamnist_{size}.npz",
        class_names=DIAGNOSES,
    )


_ALL = (
    Source(
        "digits",
        "handwritten digits, 8 x 8 grey",
        "1,797",
        10,
        "Alpaydin and Kaynak, UCI 1998; CC BY 4.0",
        "https://archive.ics.uci.edu/dataset/80",
        class_names=DIGITS,
    ),
    Source(
        "mnist",
        "handwritten digits, 28 x 28 grey",
        "60,000 + 10,000",
        10,
        "LeCun, Cortes, Burges, 1998; CC BY-SA 3.0",
        MNIST_HOME,
        file="mnist.npz",
        originals=_idx("mnist"),
        read=read_mnist,
        remotes=_remotes(
            MNIST_HOME,
            IDX,
            (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
        class_names=DIGITS,
    ),
    Source(
        "fashion-mnist",
        "pieces of clothing, 28 x 28 grey",
        "60,000 + 10,000",
        10,
        "Xiao, Rasul, Vollgraf, arXiv 1708.07747; MIT",
        FASHION_HOME,
        file="fashion-mnist.npz",
        originals=_idx("fashion-mnist"),
        read=read_mnist,
        remotes=_remotes(
            FASHION_HOME,
            IDX,
            (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
        class_names=CLOTHES,
    ),
    Source(
        "cifar10",
        "objects and animals, 32 x 32 colour",
        "50,000 + 10,000",
        10,
        KRIZHEVSKY,
        CIFAR_HOME,
        file="cifar10.npz",
        originals=(("cifar-10-binary.tar.gz",),),
        read=read_cifar10,
        remotes=_remotes(
            CIFAR_HOME,
            ("cifar-10-binary.tar.gz",),
            ("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",),
        ),
    ),
    Source(
        "cifar100",
        "objects and animals of 100 kinds, 32 x 32 colour",
        "50,000 + 10,000",
        100,
        KRIZHEVSKY,
        CIFAR_HOME,
        file="cifar100.npz",
        originals=(("cifar-100-binary.tar.gz",),),
        read=read_cifar100,
        remotes=_remotes(
            CIFAR_HOME,
            ("cifar-100-binary.tar.gz",),
            ("58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",),
        ),
    ),
    Source(
        "location30",
        "places visited in Bangkok, 446 yes/no features",
        "5,010",
        30,
        SHOKRI,
        SHOKRI_HOME,
        file="location30.npz",
        originals=(("dataset_location.tgz",), ("bangkok",)),
        read=read_labelled_lines,
    ),
    Source(
        "location30-memguard",
        "location30 in the order of MemGuard's evaluation",
        "5,010",
        30,
        SHOKRI,
        MEMGUARD_HOME,
        file="location30-memguard.npz",
        originals=(
            ("location30.npz", MEMGUARD_ORDER),
            ("dataset_location.tgz", MEMGUARD_ORDER),
            ("bangkok", MEMGUARD_ORDER),
        ),
        read=read_in_order,
    ),
    Source(
        "adult",
        "income above 50,000 dollars, 14 columns of the 1994 census",
        "32,561 + 16,281",
        2,
        "Becker and Kohavi, UCI 1996; CC BY 4.0",
        ADULT_HOME,
        file="adult.csv",
        originals=(("adult.data", "adult.test"),),
        read=read_adult,
        remotes=_remotes(
            ADULT_HOME,
            ("adult.data", "adult.test"),
            (
                "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
                "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
            ),
        ),
        label="income",
        split="split",
    ),
    Source(
        "lfw62",
        "faces of 62 people with 20 photographs or more, 48 x 48 grey",
        "3,023",
        62,
        "Huang, Ramesh, Berg, Learned-Miller, UMass TR 07-49, 2007; for research",
        LFW_HOME,
        file="lfw62.npz",
    ),
    Source(
        "purchase100",
        "shoppers' baskets, 600 yes/no features",
        "197,324",
        100,
        SHOKRI,
        SHOKRI_HOME,
        file="purchase100.npz",
        originals=(("dataset_purchase.tgz",), ("dataset_purchase",)),
        read=read_labelled_lines,
    ),
    Source(
        "texas100",
        "hospital stays, 6,169 yes/no features",
        "67,330",
        100,
        SHOKRI,
        SHOKRI_HOME,
        file="texas100.npz",
        originals=(("dataset_texas.tgz",), ("texas/100/feats", "texas/100/labels")),
        read=read_texas,
    ),
    Source(
        "ham10000",
        "photographs of 7,470 skin lesions (the units), 600 x 450 colour: name a size",
        "10,015",
        7,
        "Tschandl, Rosendahl, Kittler, Scientific Data 5:180161, 2018; CC BY-NC 4.0",
        "https://doi.org/10.7910/DVN/DBW86T",
        folder="ham10000",
    ),
    *(_dermamnist(size) for size in (28, 64, 128, 224)),
)
SOURCES: Registry[Source] = Registry("data source", ((source.name, source) for source in _ALL), group="memberwise.data")
