"""The run folder: predictions, metrics, pictures and the page that people open.

*   `results`: `ProtocolResult`, what one protocol predicted, and its scores; `metrics.json`.
*   `predictions`: `predictions.csv`, ours and other systems'.
*   `score_text`, `comparison`: what `mer score` and `mer compare` print.
*   `gap`: the price of the paper's protocol, in numbers and in words.
*   `leakage`: what each shortcut is worth; `leakage.html`.
*   `mistakes`: confused classes with their clips, and hard clips; `errors.png`, `difficulty.png`.
*   `figures`: `confusion.png`, `curves.png`, `faces.png`, `gap.png`.
*   `page`: `report.html`, self-contained.
*   `published`: published numbers as data, with source, protocol and trust.
*   `table`, `paper_figure`: one table in all forms; figure 10 of the paper with ours beside it.

Everything takes plain data, so that a run on another machine, or another system's
predictions, can be reported as well. Files appear whole or not at all.
"""
