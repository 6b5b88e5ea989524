"""Finds the classes of a package whose files hold one class each, without importing them."""

import re
from pathlib import Path


def find_classes(folder: Path) -> dict[str, str]:
    """Maps the name of each class to the module that holds it.

    A module holds the class whose lower-case name is the name of the file: `DualPath3DNet` is in
    `dualpath3dnet.py`. Files without such a class are not listed.

    Args:
        folder: The folder of the package.

    Returns:
        Names of classes and of modules, sorted by class.

    Example:
        >>> find_classes(Path(__file__).parents[1] / "baselines")["LbpTop"]
        'lbptop'
    """
    found = {}
    for path in folder.glob("*.py"):
        names = re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.M)
        found.update({name: path.stem for name in names if name.lower() == path.stem})
    return dict(sorted(found.items()))
