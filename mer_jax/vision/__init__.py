"""From frames of a face to the clips that a network takes: NumPy, OpenCV and MediaPipe, no JAX.

| module | question it answers |
|---|---|
| `frames`, `camera` | how a folder, a video, an array or a camera becomes RGB frames, one at a time |
| `face_model` | where the landmark model file is, and whether it is the right one |
| `landmarks` | where the face is: 478 mesh points and the 68 iBUG points |
| `tracks` | who is who from frame to frame, and whom to take of several |
| `sampling` | which frames of the clip make the T frames that the network sees |
| `crop` | which part of each frame becomes the 128x128 face |
| `registration` | how far each frame has moved since the onset, below a pixel |
| `masks` | which areas of the face stay visible |
| `magnification` | how small movements are made larger |
| `apex` | in which frame the movement is largest |
| `flow` | how each pixel moves, and how the skin is strained |
| `options`, `prepare` | all of it together, as one pure function of (frames, options) |
| `quality`, `findings`, `contact_sheet` | what a clip is worth, what is wrong with it, and a picture of both |

The package itself imports nothing; a module loads OpenCV or MediaPipe when it is imported or used.
"""
