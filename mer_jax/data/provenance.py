"""The mark of what comes from rendered faces, in files."""

MARK = "SURROGATE"


def mark_provenance(provenance: str) -> str:
    """Returns a provenance as files have it: in capitals where it is the surrogate, so that nobody overlooks it.

    Example:
        >>> mark_provenance("surrogate"), mark_provenance("licensed")
        ('SURROGATE', 'licensed')
    """
    return MARK if is_surrogate(provenance) else provenance


def surrogate_mark(provenance: str | None, *, before: str = "", after: str = "") -> str:
    """Returns the mark with what stands around it, for messages and pictures; "" for what is not the surrogate.

    Example:
        >>> surrogate_mark("surrogate", after=" ") + "negative"
        'SURROGATE negative'
        >>> surrogate_mark("licensed", after=" ")
        ''
    """
    return f"{before}{MARK}{after}" if is_surrogate(provenance) else ""


def is_surrogate(provenance: str | None) -> bool:
    """Returns whether a file's provenance is the surrogate, in any case of letters; None where it states none."""
    return (provenance or "").casefold() == MARK.casefold()
