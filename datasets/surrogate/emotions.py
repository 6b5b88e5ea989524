"""What each emotion that a corpus annotates moves in a surrogate face, and how coders would write it down.

The sets are ours, not those of any corpus: after EMFACS (happiness 6+12, surprise 1+2+5+26, sadness
1+4+15, fear 1+2+4+20, anger 4+5+7+24, disgust 9 and 10, contempt 14), thinned to the one to three
units of a micro-expression. Repression is what the face does to hold an expression back. "Others" is
whatever is left, and so are the rarer feelings that CAS(ME)^2's subjects reported.

A linear classifier on truly aligned difference images, subjects disjoint, 200 clips of equal classes,
finds at difficulty "easy" .72 of CASME II's five classes and .67 of SAMM's, and .76 of CAS(ME)^2's
three; at "null" .21 of the five of CASME II.
"""

from collections.abc import Mapping, Sequence

from datasets.surrogate.action_units import MIDLINE_UNITS
from datasets.surrogate.scenario import LEFT, RIGHT, UNIT_SETS, ClipSpec, UnitSets

EMOTION_SETS: Mapping[str, UnitSets] = {
    "happiness": UNIT_SETS["positive"],
    "surprise": UNIT_SETS["surprise"],
    "disgust": ((("9",), 0.20), (("10",), 0.20), (("4", "9"), 0.25), (("4", "10"), 0.15), (("9", "10"), 0.20)),
    "anger": ((("4",), 0.25), (("4", "7"), 0.30), (("4", "5"), 0.15), (("4", "24"), 0.15), (("4", "7", "24"), 0.15)),
    "sadness": ((("1", "4"), 0.30), (("15",), 0.25), (("1", "15"), 0.15), (("1", "4", "15"), 0.30)),
    "fear": ((("1", "2", "4"), 0.35), (("20",), 0.20), (("1", "2", "4", "20"), 0.25), (("1", "2", "4", "5"), 0.20)),
    "contempt": ((("14",), 0.60), (("10", "14"), 0.20), (("12", "14"), 0.20)),
    "repression": ((("17",), 0.30), (("15", "17"), 0.25), (("17", "24"), 0.20), (("12", "15"), 0.15), (("24",), 0.10)),
    "others": ((("7",), 0.25), (("14",), 0.15), (("20",), 0.15), (("24",), 0.15), (("7", "14"), 0.15), (("5",), 0.15)),
    "helpless": ((("1", "4"), 0.50), (("1", "4", "17"), 0.50)),
    "pain": ((("4", "6", "7"), 0.50), (("4", "7", "10"), 0.50)),
    "confused": ((("4",), 0.60), (("4", "7"), 0.40)),
    "sympathy": ((("1", "4"), 0.60), (("1", "15"), 0.40)),
}

# Davison, Merghani and Yap, Objective Classes for Micro-Facial Expression Recognition (2018), as far as the surrogate
# moves these units; all other combinations are class 7.
_OBJECTIVE_CLASSES: Mapping[int, tuple[str, ...]] = {
    1: ("6", "12", "6+12", "6+7+12", "7+12"),
    2: ("1+2", "5", "25", "1+2+25", "25+26", "5+24"),
    3: ("4", "4+7", "4+5", "4+5+7", "17+24", "4+6+7"),
    4: ("10", "9", "4+9", "4+7+10", "4+5+9", "7+10", "9+10"),
    5: ("1", "15", "1+4", "6+15", "15+17", "1+15", "1+4+15"),
    6: ("1+2+4", "20"),
}
OTHER_OBJECTIVE_CLASS = 7


def objective_class(action_units: tuple[str, ...]) -> int:
    """The objective class, 1 to 7, of a set of action units.

    Example:
        >>> objective_class(("6", "12")), objective_class(("14",))
        (1, 7)
    """
    written = "+".join(action_units)
    return next((number for number, sets in _OBJECTIVE_CLASSES.items() if written in sets), OTHER_OBJECTIVE_CLASS)


def action_unit_cell(spec: ClipSpec) -> int | str:
    """The action units of a clip as coders write them: `4+L10`, a lone one as a number."""
    amounts = {key: float(path[spec.apex]) for key, path in spec.activations.items()}
    return write_units(spec.action_units, amounts)


def write_units(units: Sequence[str], amounts: Mapping[tuple[str, int], float]) -> int | str:
    """Writes action units as coders do.

    Args:
        units: in the order in which they are written.
        amounts: displacement of each unit and side at the apex.

    Returns:
        Such as `4+L10`; a lone one that moves on both sides is a number.

    Example:
        >>> write_units(("4",), {("4", 0): 1.0, ("4", 1): 0.9}), write_units(("10",), {("10", 0): 0.1, ("10", 1): 1.0})
        (4, 'L10')
    """
    written = "+".join(_side(amounts, unit) + unit for unit in units)
    return int(written) if written.isdecimal() else written


def _side(amounts: Mapping[tuple[str, int], float], unit: str) -> str:
    """R or L where a unit moves clearly more on that side of the face, else nothing."""
    if unit in MIDLINE_UNITS:
        return ""
    right, left = (abs(amounts[unit, side]) for side in (RIGHT, LEFT))
    if min(right, left) >= 0.45 * max(right, left):
        return ""
    return "R" if right > left else "L"
