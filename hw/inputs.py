"""What a command is given: images by name or from a file, networks by name or path; all checked."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..sim.exceptions import ArtefactError, InputError
from ..sim.network import Network, check_images
from ..sim.rows import data_sha256

SUFFIX = ".stoic"


@dataclass(frozen=True, eq=False)
class Images:
    """Images that fit a network.

    Attributes:
        name: "<data set>/<split>", or the path of the file.
        values: (n, n_inputs) uint8.
        labels: (n,) classes, or None where there are none.
    """

    name: str
    values: NDArray[np.uint8]
    labels: NDArray[np.generic] | None

    @property
    def sha256(self) -> str:
        """Hash of the images and labels."""
        return data_sha256(self.values, np.empty(0) if self.labels is None else self.labels)


def images(
    network: Network,
    data: str | None,
    split: str,
    n: int | None,
    file: Path | None,
    data_root: Path | None,
) -> Images:
    """The first n images of a data set or of a file, as the network takes them.

    Raises:
        InputError: both or none named, fewer than n, or they do not fit the network.
        ArtefactError: the file is missing, or not an array of integers.
    """
    if (data is None) == (file is None):
        raise InputError("give either --data NAME or --input X.npy")
    if file is not None:
        name, values, labels = str(file), read_array(file), None
    else:
        from ..models import data as data_sets

        found = data_sets.load(str(data), split, data_root)
        name, values, labels = f"{data}/{split}", found.images, found.labels
    if n is not None and n > len(values):
        raise InputError(f"{name} has {len(values)} images, not {n}")
    try:
        checked = check_images(network, values[:n])
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    if not len(checked):
        raise InputError(f"{name}: holds no image")
    return Images(name, checked, None if labels is None else labels[:n])


def random_images(network: Network, n: int) -> Images:
    """Images of uniform random elements, the same ones every time."""
    values = np.random.default_rng(0).integers(0, network.image_max + 1, (n, network.n_inputs))
    return Images("random", values.astype(np.uint8), None)


def read_array(path: Path) -> NDArray[np.generic]:
    """An array of integers from a `.npy` file.

    Raises:
        ArtefactError: missing, not a `.npy` file, of objects, or with values that are not numbers.
    """
    if path.is_file() and not _is_numpy(path):
        raise ArtefactError(f"{path}: not a readable .npy file (it does not begin as one)")
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtefactError(f"{path}: not a readable .npy file ({error})") from error
    if not isinstance(values, np.ndarray):
        raise ArtefactError(f"{path}: an archive of arrays; one array in a .npy file is needed")
    if not values.ndim:
        raise ArtefactError(f"{path}: one number; an array of images is needed")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise ArtefactError(f"{path}: {values[bad]} at {bad}; images must be integers")
    return values


def _is_numpy(path: Path) -> bool:
    """Whether it begins as a .npy file or an archive of them; np.load takes others for pickles."""
    with path.open("rb") as file:
        return file.read(6).startswith((b"\x93NUMPY", b"PK"))


def network_path(model: str) -> Path:
    """The file of a network: a path, or of a model by name below build/."""
    return Path(model) if model.endswith(SUFFIX) else Path("build") / model / f"{model}{SUFFIX}"
