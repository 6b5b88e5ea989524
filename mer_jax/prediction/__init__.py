"""Trained models in use: what is handed on, and what it answers about a video.

| module | question it answers |
|---|---|
| `description`, `model_folder`, `card` | what a model is, how it lies on disk, what its card says |
| `classifier` | from prepared pictures to probabilities, by a network or a linear classifier; no OpenCV |
| `model`, `result` | `mer_jax.load`, `model.predict`, and the typed answer |
| `clip` | from the frames of a video to what the model takes |
| `watching`, `live`, `live_session` | spotting in a video or in a stream, and classifying what was found |
| `usage` | what a prediction means, and what it may not be used for |
"""
