"""Memory images: what each bank of a datapath must hold, as files.

A folder of images has one `$readmemh` file a bank (`L0.P03.weights.mem`, address 0 first), the same
words as one host-link image (`link.image`), and `manifest.json` with the layout and every hash.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..sim import container
from ..sim.bits import Words
from ..sim.exceptions import ArtefactError, InputError, StoicError
from ..sim.memory import Bank, Layout, bank_words, from_json, stored_bits, to_json
from ..sim.network import Network

FORMAT = "stoic-images"
LINK_FORMAT = "stoic-link-image"
VERSION = 1
MANIFEST = "manifest.json"
LINK_IMAGE = "link.image"


@dataclass(frozen=True, eq=False)
class Block:
    """Words that the host writes to consecutive addresses of one bank.

    Attributes:
        bank: its number, the place in `Layout.banks`.
        address: of the first word.
        words: (n,) uint64.
    """

    bank: int
    address: int
    words: Words


@dataclass(frozen=True, eq=False)
class Images:
    """A folder as it was read, every hash checked.

    Attributes:
        words: of every bank, from its `$readmemh` file.
        blocks: of the host-link image.
        manifest: JSON values.
    """

    layout: Layout
    words: tuple[Words, ...]
    blocks: tuple[Block, ...]
    manifest: dict[str, Any]


def blocks(network: Network, layout: Layout) -> list[Block]:
    """What the host link writes for a network, bank by bank.

    Raises:
        InputError: the layout is of another network's shapes.
    """
    words = bank_words(stored_bits(network, layout), layout)
    return [Block(number, 0, bank) for number, bank in enumerate(words)]


def readmemh(words: Words, width: int) -> str:
    """Text that `$readmemh` reads into a memory of this width, one word a line.

    >>> print(readmemh(np.array([10, 255], np.uint64), 9), end="")
    00a
    0ff
    """
    digits = -(-width // 4)
    return "".join(f"{int(word):0{digits}x}\n" for word in words)


def write_images(network: Network, layout: Layout, folder: Path) -> dict[str, Any]:
    """Write a folder of images and return its manifest, JSON values.

    Raises:
        InputError: the layout is of another network's shapes.
    """
    parts = blocks(network, layout)
    entries = []
    for bank, part in zip(layout.banks, parts, strict=True):
        data = readmemh(part.words, bank.width).encode()
        container.write_whole(folder / _file_name(bank), data)
        entries.append(
            {
                "file": _file_name(bank),
                "n_words": bank.n_words,
                "width": bank.width,
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    write_link_image(parts, folder / LINK_IMAGE, network.sha256)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "kit_version": container.kit_version(),
        "network": network.name,
        "network_sha256": network.sha256,
        "layout_sha256": layout.sha256,
        "layout": to_json(layout),
        "banks": entries,
        "link": {"file": LINK_IMAGE, "sha256": container.file_sha256(folder / LINK_IMAGE)},
    }
    text = json.dumps(manifest, indent=1) + "\n"
    container.write_whole(folder / MANIFEST, text.encode())
    return dict(json.loads(text))


def write_link_image(parts: list[Block], path: Path, network_sha256: str) -> None:
    """Write blocks as one file, in the order in which the host sends them."""
    header = {"network_sha256": network_sha256, "blocks": [[p.bank, p.address] for p in parts]}
    arrays = {str(number): part.words for number, part in enumerate(parts)}
    container.write(path, LINK_FORMAT, VERSION, header, arrays)


def read_link_image(path: Path) -> tuple[Block, ...]:
    """The blocks of a host-link image.

    Raises:
        ArtefactError: not there, corrupt, foreign or newer.
    """
    header, arrays = container.read(path, LINK_FORMAT, VERSION)
    try:
        return tuple(
            Block(int(bank), int(address), arrays[str(number)])
            for number, (bank, address) in enumerate(header["blocks"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{path}: not a valid host-link image: {error}") from error


def read_images(folder: Path) -> Images:
    """A folder of images, read back.

    Raises:
        ArtefactError: a file is missing or is not what the manifest says.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
            raise InputError(f"format {manifest['format']!r} version {manifest['version']}")
        layout = from_json(manifest["layout"])
        words = tuple(
            _read_bank(folder, bank, entry)
            for bank, entry in zip(layout.banks, manifest["banks"], strict=True)
        )
        _checked(folder / LINK_IMAGE, manifest["link"]["sha256"])
    except ArtefactError:
        raise
    except (OSError, ValueError, KeyError, TypeError, StoicError) as error:
        raise ArtefactError(f"{path}: not a valid manifest of memory images: {error}") from error
    return Images(layout, words, read_link_image(folder / LINK_IMAGE), manifest)


def _file_name(bank: Bank) -> str:
    return f"{bank.name}.mem"


def _read_bank(folder: Path, bank: Bank, entry: dict[str, Any]) -> Words:
    data = _checked(folder / _file_name(bank), entry["sha256"])
    words = np.array([int(line, 16) for line in data.split()], np.uint64)
    if len(words) != bank.n_words:
        raise ArtefactError(f"{folder / _file_name(bank)}: {len(words)} words, not {bank.n_words}")
    return words


def _checked(path: Path, sha256: str) -> bytes:
    if not path.is_file():
        raise ArtefactError(f"{path}: no such file, though the manifest names it")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ArtefactError(f"{path}: hashes to {found[:12]}, the manifest says {sha256[:12]}")
    return data
