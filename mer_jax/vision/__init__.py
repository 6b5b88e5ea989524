"""From frames of a face to the clips that a network takes: NumPy, OpenCV and MediaPipe, no JAX.

| module | question it answers |
|---|---|
| `frames` | how a folder, a video or an array becomes RGB frames, one at a time |
| `face_model` | where the landmark model file is, and whether it is the right one |
| `landmarks` | where the face is: 478 mesh points and the 68 iBUG points |
| `sampling` | which frames of the clip make the T frames that the network sees |
| `crop` | which part of each frame becomes the 128x128 face |
| `registration` | how far each frame has moved since the onset, below a pixel |
| `masks` | which areas of the face stay visible |
| `options`, `prepare` | all of it together, as one pure function of (frames, options) |

The package itself imports nothing; a module loads OpenCV or MediaPipe when it is imported or used.
"""
