"""Preprocessing options, and the version of their meaning."""

import dataclasses
import hashlib
import json

from mer_jax.errors import ConfigError, near_names

# Incremented whenever the same frames and options would give different pixels; part of every cache key.
VISION_VERSION = 2

CROPS = ("onset", "similarity", "eyes", "per_frame_bbox", "per_frame_stable")
MASKS = ("keep", "blank", "blank_eyes", "face", "none")
SAMPLINGS = ("uniform", "linear", "apex", "tim")
TURNS = ("none", "90", "180", "270", "auto")
FACES = ("largest", "track", "ask", "1", "2", "3", "4")
MAX_MAGNIFICATION = 100.0

# Fields added after caches had been written. They enter the fingerprint only if they differ from the default, which
# leaves the clips unchanged.
_LATER_FIELDS = ("face", "magnification", "turn")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class VisionOptions:
    """Options of `prepare_clip`.

    Attributes:
        num_frames: T, frames of the prepared clip, 2 or more. The paper does not state it; 18 leaves at least 16 after
            frame differences and a kernel of 3.
        crop: `onset` holds the box of the onset frame's 68 points for the whole clip; `similarity` puts the
            onset frame's eyes at fixed places; `eyes` does so in the tight box of the motion features, from the eye
            corners alone; `per_frame_bbox` computes the box in every frame (the paper read
            literally); `per_frame_stable` follows smoothed landmarks of eye corners and nose.
        register: Whether each frame is aligned to the onset frame with sub-pixel accuracy (ECC). It applies to the
            crops that are fixed for the clip, `onset`, `similarity` and `eyes`; the others follow the face.
        mask: `keep` shows eyes with brows, and mouth, and blanks the rest (the paper's stated aim); `blank` blanks eyes
            and mouth; `blank_eyes` the eyes; `face` everything outside the face; `none` nothing.
        sampling: `uniform` picks T existing frames; `linear` interpolates between neighbours; `apex` picks existing
            frames, half of them up to the apex, half after it; `tim` is the temporal interpolation model.
        face: Which face to use if there are several: `largest` in each frame; `track` follows the one that is largest
            in the first frame with a face; `ask` raises an error that lists them; `1` to `4` follows that one,
            counted from the left of the picture.
        magnification: Factor of Eulerian motion magnification, 0 to 100; 0 is off, 5 to 20 is usual.
        turn: Degrees by which frames are turned clockwise before anything else: `none`, `90`, `180`, `270`; `auto`
            examines four frames of the clip.
    """

    num_frames: int = 18
    crop: str = "onset"
    register: bool = True
    mask: str = "keep"
    sampling: str = "uniform"
    face: str = "largest"
    magnification: float = 0.0
    turn: str = "none"

    def validate(self) -> None:
        """Validates every field.

        Raises:
            ConfigError: A value is unknown or out of range.
        """
        if not isinstance(self.num_frames, int) or isinstance(self.num_frames, bool) or self.num_frames < 2:
            raise ConfigError(f"vision: num_frames is {self.num_frames!r}; it must be a whole number, 2 or more")
        if not isinstance(self.register, bool):
            raise ConfigError(f"vision: register is {self.register!r}; it must be True or False")
        for field, known in (
            ("crop", CROPS),
            ("mask", MASKS),
            ("sampling", SAMPLINGS),
            ("face", FACES),
            ("turn", TURNS),
        ):
            value = getattr(self, field)
            if value not in known:
                raise ConfigError(f"vision: {field} is {value!r}, which is unknown; {near_names(str(value), known)}")
        factor = self.magnification
        if not isinstance(factor, int | float) or isinstance(factor, bool) or not 0 <= factor <= MAX_MAGNIFICATION:
            raise ConfigError(
                f"vision: magnification is {factor!r}; it must be a number from 0 (off) to {MAX_MAGNIFICATION:.0f}"
            )

    def fingerprint(self) -> str:
        """Returns 12 hexadecimal digits that identify the options and VISION_VERSION."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        content = {"vision_version": VISION_VERSION, **dataclasses.asdict(self)}
        content = {
            name: value for name, value in content.items() if name not in _LATER_FIELDS or value != defaults[name]
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
