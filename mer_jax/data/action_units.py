"""Action units as arrays: which muscles coders of the Facial Action Coding System saw at work in a clip."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int8

# FACS numbers in the order of the columns: those that coders of the four corpora use, with the usual ones besides.
ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 23, 24, 25, 26, 38, 43)
NOT_CODED = -1


def encode_action_units(texts: Sequence[str]) -> Int8[np.ndarray, "n u"]:
    """Turns annotations into 1 (seen), 0 (not seen), and -1 in the whole row of a clip that was not coded.

    Sides and intensities are left aside; of alternatives such as `4 or 7` both count; numbers that are not in
    `ACTION_UNITS` are ignored.

    Args:
        texts: As corpora write them, such as "4+L10" or "AU12A"; "" and text without a number are not coded.

    Example:
        >>> encode_action_units(["4+L10", "AU12A", ""])[:, [2, 7, 8]].tolist()
        [[1, 1, 0], [0, 0, 1], [-1, -1, -1]]
    """
    encoded = np.full((len(texts), len(ACTION_UNITS)), NOT_CODED, np.int8)
    for row, text in zip(encoded, texts, strict=True):
        if units := {int(number) for number in re.findall(r"\d+", text)}:
            row[:] = [unit in units for unit in ACTION_UNITS]
    return encoded


def columns_of(units: Sequence[int]) -> list[int]:
    """Returns the columns of some action units.

    Example:
        >>> columns_of((1, 4, 12))
        [0, 2, 8]
    """
    return [ACTION_UNITS.index(unit) for unit in units]
