"""Contact sheets: frames of a clip with the landmarks found in them, and the faces that a network would see."""

import numpy as np
from jaxtyping import UInt8

from mer_jax.vision.examination import PICTURES
from mer_jax.vision.frame_runs import count_frames
from mer_jax.vision.landmarks import Landmarks
from mer_jax.vision.libraries import cv2
from mer_jax.vision.quality import ClipQuality

_COLUMNS = PICTURES
_CELL_WIDTH, _CELL_HEIGHT = 148, 160
_ROOM = 0.4  # around the faces, as a fraction of their width
_FACE_SIDE = 128
_GAP, _CAPTION, _TITLE = 6, 16, 24
_WIDTH = _COLUMNS * (_CELL_WIDTH + _GAP) + _GAP
_TALLEST = 20_000  # pixels; image viewers fail on taller pictures

# RGB, from the Okabe-Ito palette.
_PAPER, _INK, _SOFT = (255, 255, 255), (31, 41, 55), (107, 114, 128)
_POINTS, _OTHER, _LEVELS = (86, 180, 233), (230, 159, 0), {"error": (168, 67, 0), "warning": (168, 67, 0)}

Picture = UInt8[np.ndarray, "_ _ 3"]  # any size: pictures of many sizes meet here


def draw_clip(clip: ClipQuality, title: str) -> Picture:
    """Draws one clip: a row of frames with the 68 points, and a row of prepared faces.

    Args:
        clip: Result of `inspect_clip`.
        title: Name of the clip; non-ASCII characters are replaced.

    Returns:
        RGB.
    """
    part = _shown_part(clip) if clip.pictures else (0, 0, 0, 0)
    frames = [_draw_frame(clip, index, part) for index in clip.pictures]
    numbers = [f"frame {index}" for index in clip.pictures]
    size = "" if clip.frame_size is None else f", {clip.frame_size[0]}x{clip.frame_size[1]}"
    rows = [_title_row(f"{title}: {count_frames(clip.num_frames)}{size}", _INK)]
    rows += [_title_row(f"{f.level}: {f}", _LEVELS.get(f.level, _SOFT), small=True) for f in clip.findings[:4]]
    if frames:
        rows.append(_row(frames, numbers, _CELL_WIDTH, _CELL_HEIGHT))
    if clip.prepared is not None:
        shown = np.linspace(0, len(clip.prepared.faces) - 1, _COLUMNS).round().astype(int)
        faces = [cv2.cvtColor(clip.prepared.faces[index], cv2.COLOR_GRAY2RGB) for index in shown]
        rows.append(
            _row(faces, [f"{index + 1} of {len(clip.prepared.faces)}" for index in shown], _FACE_SIDE, _FACE_SIDE)
        )
    return np.concatenate([*rows, np.full((_GAP, _WIDTH, 3), _PAPER, np.uint8)])


def stack_sheets(pictures: list[Picture]) -> list[Picture]:
    """Stacks the pictures of several clips on as many sheets as they need.

    Args:
        pictures: Results of `draw_clip`, one or more.
    """
    sheets: list[list[Picture]] = [[]]
    for picture in pictures:
        if sheets[-1] and sum(map(len, sheets[-1])) + len(picture) > _TALLEST:
            sheets.append([])
        sheets[-1].append(picture)
    return [np.concatenate(sheet) for sheet in sheets]


def encode_png(picture: Picture) -> bytes:
    """Encodes a picture as PNG."""
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def encode_jpeg(picture: Picture) -> bytes:
    """Encodes a picture as JPEG, a tenth of the size."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 88]
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)[1].tobytes()


def _shown_part(clip: ClipQuality) -> tuple[int, int, int, int]:
    """Returns left, top, right and bottom of the region of the frames around all faces."""
    height, width = next(iter(clip.pictures.values())).shape[:2]
    boxes = np.array([face.box for index in clip.pictures for face in clip.detections.get(index, ())])
    if not len(boxes):
        return 0, 0, width, height
    (left, top), (right, bottom) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    room = _ROOM * float(np.median(boxes[:, 2] - boxes[:, 0]))
    left, top, right, bottom = left - room, top - room, right + room, bottom + room
    return max(0, int(left)), max(0, int(top)), min(width, int(right) + 1), min(height, int(bottom) + 1)


def _draw_frame(clip: ClipQuality, index: int, part: tuple[int, int, int, int]) -> Picture:
    left, top, right, bottom = part
    frame = clip.pictures[index][top:bottom, left:right]
    if 0 in frame.shape:  # a frame of another size
        frame, left, top = clip.pictures[index], 0, 0
    scale = min(_CELL_WIDTH / frame.shape[1], _CELL_HEIGHT / frame.shape[0])
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    for face in clip.detections.get(index, ()):
        ours = clip.track is not None and clip.track.faces.get(index) is face
        _mark_face(small, face, np.array([left, top]), scale, ours)
    return small


def _mark_face(picture: Picture, face: Landmarks, corner: np.ndarray, scale: float, ours: bool) -> None:
    if ours:
        for x, y in (face.ibug - corner) * scale:
            cv2.circle(picture, (round(16 * float(x)), round(16 * float(y))), 14, _POINTS, -1, cv2.LINE_AA, 4)
    else:
        left, top, right, bottom = (
            np.round((np.reshape(face.box, (2, 2)) - corner) * scale).astype(int).ravel().tolist()
        )
        cv2.rectangle(picture, (left, top), (right, bottom), _OTHER, 2)


def _title_row(text: str, colour: tuple[int, int, int], *, small: bool = False) -> Picture:
    row = np.full((_CAPTION + 2 if small else _TITLE, _WIDTH, 3), _PAPER, np.uint8)
    scale, longest = (0.42, 230) if small else (0.58, 150)
    text = text.encode("ascii", "replace").decode()
    text = text if len(text) <= longest else text[: longest - 3] + "..."
    cv2.putText(row, text, (_GAP, len(row) - 6), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
    return row


def _row(pictures: list[Picture], captions: list[str], width: int, height: int) -> Picture:
    height = min(height, max(len(picture) for picture in pictures))  # no white below wide frames
    row = np.full((height + _CAPTION + _GAP, _WIDTH, 3), _PAPER, np.uint8)
    for column, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left = _GAP + column * (_CELL_WIDTH + _GAP)
        row[: picture.shape[0], left : left + picture.shape[1]] = picture[:height, :width]
        at = left, height + _CAPTION - 4
        cv2.putText(row, caption, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _SOFT, 1, cv2.LINE_AA)
    return row
