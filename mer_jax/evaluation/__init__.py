"""Scores, intervals, significance tests, calibration and comparison of predictions: plain functions of arrays.

*   `metrics`: accuracy, F1, UF1, UAR and more, from confusion matrices.
*   `calibration`: expected calibration error, Brier score.
*   `intervals`: confidence intervals.
*   `significance`: permutation test over people, McNemar, Holm.
*   `results`: `ProtocolResult`, the predictions under one protocol, and `metrics.json`.
*   `predictions`: `predictions.csv`, ours and other systems'.
*   `comparison`: two or more systems on the same clips.
*   `gap`: accuracy by the paper's protocol against that by a subject-disjoint one.
*   `leakage`: what each protocol and each choice of the epoch adds to the accuracy.
*   `mistakes`: confused classes, and accuracy by property of the clips.
*   `published`: published numbers as data, with source, protocol and reliability.
*   `score_text`: scores as text for a terminal.
"""
