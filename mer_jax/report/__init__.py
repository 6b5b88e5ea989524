"""Pages, pictures and tables of results; everything that is shown is measured in `mer_jax.evaluation`.

*   `page`: `report.html`, self-contained.
*   `figures`: `confusion.png`, `curves.png`, `faces.png`, `gap.png`.
*   `mistakes`: `errors.png`, `difficulty.png`.
*   `maps`, `explanation`: `explained.png`; the page, pictures and numbers of `mer explain`.
*   `leakage`: table and picture of the leak report.
*   `table`: one table as Markdown, LaTeX, CSV, HTML and PNG.
*   `paper_figure`: figure 10 of the paper, published and ours.
*   `inspection`: the page of `mer inspect`.

Everything takes plain data, so a run on another machine, or another system's predictions, can be reported as well.
Files are written atomically.
"""
