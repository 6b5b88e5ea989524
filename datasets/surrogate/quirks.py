"""What goes wrong in real copies, whatever the corpus: files of operating systems, and targets for the rest."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")

_THUMBNAILS = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)  # the head of an OLE file, as Windows leaves it
_SHORTCUT = bytes.fromhex("4c0000000114020000000000c000000000000046") + bytes(56)
_FINDER = b"\x00\x00\x00\x01Bud1" + bytes(24)


def system_files(clip_folder: str, subject_folder: str, table: str) -> dict[str, bytes]:
    """What systems leave behind in a copy, by path relative to the root.

    Args:
        clip_folder: gets Windows' thumbnails and a file of macOS that is named like a frame.
        subject_folder: gets a shortcut.
        table: the annotation, which Excel has open.
    """
    folder, _, name = table.rpartition("/")
    return {
        f"{clip_folder}/Thumbs.db": _THUMBNAILS,
        f"{clip_folder}/._img1.jpg": _FINDER,
        f"{subject_folder}/{subject_folder.rpartition('/')[2]}.lnk": _SHORTCUT,
        f"{folder}/~${name}".lstrip("/"): b"\x05owner" + bytes(159),
        ".DS_Store": _FINDER,
    }


class Targets:
    """Chooses what gets a quirk, each thing once.

    Args:
        items: in the order in which they are offered.
        subject_of: says whose an item is.
    """

    def __init__(self, items: Iterable[Item], subject_of: Callable[[Item], str]):
        self._free, self._subject_of = list(items), subject_of

    def take(self, subject: str, accepts: Callable[[Item], bool] = lambda item: True) -> Item | None:
        """Takes an item.

        Args:
            subject: who has this quirk in the release; in a smaller corpus somebody else gets it.
            accepts: what the quirk needs.

        Returns:
            the item; None if nothing is left that would do.
        """
        fitting = [item for item in self._free if accepts(item)]
        fitting.sort(key=lambda item: self._subject_of(item) != subject)
        if not fitting:
            return None
        self._free = [item for item in self._free if item is not fitting[0]]
        return fitting[0]
