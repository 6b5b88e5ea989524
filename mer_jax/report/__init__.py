"""The run folder: predictions, metrics, pictures and the page that people open.

*   `results`: `ProtocolResult`, what one protocol predicted; `predictions.csv`, `metrics.json`.
*   `gap`: the price of the paper's protocol, in numbers and in words.
*   `figures`: `confusion.png`, `curves.png`, `faces.png`, `gap.png`.
*   `page`: `report.html`, self-contained.
*   `published`: the paper's own numbers, as data.

Everything takes plain data, so that a run on another machine, or another system's
predictions, can be reported as well. Files appear whole or not at all.
"""
