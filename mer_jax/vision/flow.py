"""Optical flow and strain of a face, in the layout that the motion-feature networks take.

Flow is `[h w 2]`, x (positive to the right) then y (positive downwards), in pixels of the face. Strain measures how
much the skin is stretched or compressed; a translation or rotation of the whole head has none.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from mer_jax.sizes import MOTION_SIZE, PATCH_SIZE
from mer_jax.vision.libraries import cv2

FLOW_METHODS = ("tvl1", "tvl1_half", "farneback")

Face = UInt8[np.ndarray, "h w"]
Flow = Float32[np.ndarray, "*t h w 2"]


def optical_flow(first: Face, second: Face, method: str = "tvl1") -> Float32[np.ndarray, "h w 2"]:
    """Computes dense optical flow from `first` to `second`.

    Args:
        first: Gray face without a mask (its edges would not move); for instance the onset.
        second: A face of the same size; for instance the apex.
        method: `tvl1` keeps motion edges sharp and is standard in the field; `tvl1_half` computes it on pictures of
            half the size, with three scales and one warp, in about a tenth of the time; `farneback` is faster and
            smoother.

    Source: `tvl1`: Zach, Pock and Bischof, "A duality based approach for realtime TV-L1 optical flow", DAGM 2007;
    `farneback`: Farneback, "Two-frame motion estimation based on polynomial expansion", SCIA 2003; both in OpenCV's
    implementation, TV-L1 with its default parameters.
    """
    flow = np.zeros((*first.shape, 2), np.float32)
    if method == "tvl1":
        return cv2.optflow.DualTVL1OpticalFlow.create().calc(first, second, flow)
    if method == "tvl1_half":
        height, width = first.shape
        small = [cv2.resize(face, (width // 2, height // 2), interpolation=cv2.INTER_AREA) for face in (first, second)]
        coarse = cv2.optflow.DualTVL1OpticalFlow.create(nscales=3, warps=1)
        flow = coarse.calc(small[0], small[1], np.zeros((height // 2, width // 2, 2), np.float32))
        return cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(2)
    if method == "farneback":
        return cv2.calcOpticalFlowFarneback(
            first, second, flow, pyr_scale=0.5, levels=3, winsize=15, iterations=3, poly_n=5, poly_sigma=1.1, flags=0
        )
    raise ValueError(f"unknown flow method {method!r}; known: {', '.join(FLOW_METHODS)}")


def clip_flow(
    faces: UInt8[np.ndarray, "t h w"], method: str = "tvl1", reference: Literal["onset", "previous"] = "onset"
) -> Float32[np.ndarray, "t-1 h w 2"]:
    """Computes the flow of each frame but the first.

    Args:
        faces: Registered gray faces without a mask, 2 or more.
        method: As in `optical_flow`.
        reference: `onset` measures motion since the first frame, `previous` since the preceding frame.
    """
    starts = faces[:-1] if reference == "previous" else [faces[0]] * (len(faces) - 1)
    return np.stack([optical_flow(start, face, method) for start, face in zip(starts, faces[1:], strict=True)])


def optical_strain(flow: Flow) -> Float32[np.ndarray, "*t h w"]:
    """Computes the magnitude of the infinitesimal strain of a flow field, per pixel, 0 or more.

    With u and v the two components, the strain tensor is exx = du/dx, eyy = dv/dy, exy = eyx = (du/dy + dv/dx) / 2; its
    magnitude is sqrt(exx^2 + eyy^2 + exy^2 + eyx^2). Derivatives are central differences.

    Args:
        flow: In pixels, x then y.

    Source: Shreve et al., "Macro- and micro-expression spotting in long videos using spatio-temporal strain", FG 2011,
    section 3; Liong et al., "Subtle expression recognition using optical strain weighted features", ACCVW 2014.
    """
    u_y, u_x = np.gradient(flow[..., 0], axis=(-2, -1))
    v_y, v_x = np.gradient(flow[..., 1], axis=(-2, -1))
    shear = (u_y + v_x) / 2
    return np.sqrt(u_x**2 + v_y**2 + 2 * shear**2).astype(np.float32)


def motion_features(
    onset: Face, apex: Face, method: str = "tvl1", size: int = MOTION_SIZE, *, border: int = 0
) -> Float32[np.ndarray, "{size} {size} 3"]:
    """Computes horizontal flow, vertical flow and strain between two frames, downsampled by area averaging.

    Flow is in pixels of the input faces, strain is dimensionless; networks scale both themselves.

    Args:
        onset: Registered gray face without a mask.
        apex: The frame of the largest motion, of the same size.
        method: As in `optical_flow`.
        size: Height and width of the result.
        border: Pixels on each side that take part in the flow and are cut off before downsampling, since flow is
            unreliable there; `crop.EYES_BORDER` for faces of the crop `eyes`.

    Source: the input of Liong et al., "Shallow triple stream three-dimensional CNN (STSTNet) for micro-expression
    recognition", FG 2019, section II-B: u, v and strain as the channels of one 28x28 image.
    """
    flow = optical_flow(onset, apex, method)
    planes = np.dstack([flow, optical_strain(flow)])
    height, width = onset.shape
    planes = planes[border : height - border, border : width - border]
    return cv2.resize(planes, (size, size), interpolation=cv2.INTER_AREA)


def flow_maps(onset: Face, apex: Face, size: int, method: str = "tvl1") -> Float32[np.ndarray, "{size} {size} 4"]:
    """Computes horizontal flow, vertical flow, strain and magnitude of the flow between two frames.

    Args:
        onset: As in `motion_features`.
        apex: As in `motion_features`.
        size: Height and width of the result.
        method: As in `optical_flow`.
    """
    flow = optical_flow(onset, apex, method)
    magnitude = np.hypot(flow[..., 0], flow[..., 1])
    return cv2.resize(np.dstack([flow, optical_strain(flow), magnitude]), (size, size), interpolation=cv2.INTER_AREA)


def landmark_patches(
    picture: Float32[np.ndarray, "h w"], points: Float32[np.ndarray, "p 2"], size: int = PATCH_SIZE
) -> Float32[np.ndarray, "p {size} {size}"]:
    """Cuts a square around each landmark; beyond the edge, the outermost pixel is repeated.

    Args:
        picture: One value a pixel, such as the magnitude of the flow.
        points: x then y, in pixels; rounded to the nearest pixel.
        size: Height and width of a patch, odd.
    """
    half = size // 2
    padded = np.pad(picture, half, mode="edge")
    rows = np.clip(np.round(points[:, 1]).astype(int), 0, picture.shape[0] - 1)
    columns = np.clip(np.round(points[:, 0]).astype(int), 0, picture.shape[1] - 1)
    return np.stack([padded[y : y + size, x : x + size] for y, x in zip(rows, columns, strict=True)])
