"""The TFDS builder of MMEW."""

from datasets.builder import ClipBuilder
from datasets.mmew.release import Mmew


class Builder(ClipBuilder):
    """MMEW, prepared as clips of whole faces."""

    RELEASE = Mmew
