"""From frames of a face to clips for a network, with NumPy, OpenCV and MediaPipe; no JAX.

| module | question it answers |
|---|---|
| `sources` | which clips a video, a folder or a corpus contains |
| `frames`, `video`, `tiff`, `camera` | how a folder, a file, an array or a camera becomes RGB frames, one at a time |
| `turn`, `interlacing` | whether frames lie on their side, or are woven from two fields |
| `face_model`, `libraries` | where the landmark model and the libraries are, and whether they work |
| `landmarks`, `second_look` | where the face is: 478 mesh points and the 68 iBUG points; small faces |
| `tracks` | which face is which from frame to frame, and which of several to use |
| `sampling` | which frames of the clip make the T frames that the network sees |
| `crop` | which part of each frame becomes the 128x128 face |
| `registration` | how far each frame has moved since the onset, below a pixel |
| `masks` | which areas of the face stay visible |
| `magnification` | how small motions are amplified |
| `apex` | in which frame the motion is largest |
| `flow` | how each pixel moves, and how the skin is strained |
| `options`, `prepare` | all of this as one pure function of (frames, options) |
| `verdict` | whether a prepared clip is usable, and why not |
| `examination`, `figures`, `findings`, `quality` | what is measured on each frame, and what is wrong with a clip |
| `inspection`, `contact_sheet` | the same for all clips of a source, and a picture of each |

The package itself imports nothing; its modules load OpenCV on import and MediaPipe on first use.
"""
