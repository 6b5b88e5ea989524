"""Report pages in headless Chromium: tables sort, and pages fit a phone."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mer_jax.evaluation.mistakes import find_confused_pairs
from mer_jax.report.inspection import write_inspection
from mer_jax.report.page import write_report
from mer_jax.vision.inspection import inspect_source
from mer_jax.vision.options import VisionOptions
from tests.face_clips import read_clip
from tests.toy_results import CONFIG, ENVIRONMENT, make_faces, make_history, make_results, make_shown_clip

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

# Runs in the page, and leaves what it sees in the title.
PROBE = """
<script>
const seen = {errors: window.probeErrors, overflow: document.documentElement.scrollWidth - window.innerWidth};
const table = [...document.querySelectorAll("table.sortable")].find((each) => each.tBodies[0].rows.length > 3);
for (const each of document.querySelectorAll("details")) each.open = true; // what is folded takes no focus
const column = [...table.querySelectorAll("thead th")].findIndex((head) => /Seconds|Times/.test(head.textContent));
const values = () => [...table.tBodies[0].rows].map((row) => parseFloat(row.cells[column].textContent));
const button = table.querySelectorAll("thead th")[column].querySelector("button");
button.focus();
seen.focused = document.activeElement === button;
button.click(); seen.up = values(); seen.sort = button.closest("th").getAttribute("aria-sort");
button.click(); seen.down = values();
seen.images = [...document.images].every((image) => image.naturalWidth > 100);
document.title = JSON.stringify(seen);
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    results = make_results()
    results[1] = replace(
        results[1],
        folds=tuple(replace(fold, seconds=float(7 * number % 5)) for number, fold in enumerate(results[1].folds)),
    )
    pairs = [(pair, [make_shown_clip()] * 3) for pair in find_confused_pairs(results[1])[:2]]
    amplitude = {clip: float(number) for number, clip in enumerate(results[1].clip_id)}
    return write_report(
        folder, results=results, history=list(make_history(results)), config=CONFIG, environment=ENVIRONMENT,
        faces=make_faces(), errors=pairs, facts={"movement, %": amplitude},
    )  # fmt: skip


def look_at(page: Path, tmp_path: Path, width: int, probe: str) -> dict:
    """Returns what a probe leaves as JSON in the title of the page, in a frame of that width."""
    text = page.read_text().replace(
        "<head>", "<head><script>onerror = (e) => (window.probeErrors = String(e));</script>"
    )
    probed = tmp_path / "probed.html"
    probed.write_text(text.replace("</body>", probe + "</body>"))
    # In a frame of that width: a headless window is never narrower than 500 pixels.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" width="{width}" height="900" src="probed.html"></iframe><script>'
        "onload = () => (document.body.dataset.seen = document.getElementById('f').contentDocument.title)</script>"
    )
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
    done = subprocess.run(
        [*command, f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return json.loads(html.unescape(re.search(r'data-seen="([^"]*)"', done.stdout).group(1)))


@pytest.mark.parametrize("width", [1200, 420])
def test_page_sorts_and_fits(page, tmp_path, width):
    seen = look_at(page, tmp_path, width, PROBE)
    assert "errors" not in seen
    assert seen["overflow"] <= 0, "nothing but the frames around tables and pictures scrolls sideways"
    assert seen["focused"]
    assert seen["images"]
    assert seen["sort"] == "ascending"
    assert seen["up"] == sorted(seen["up"]) != seen["down"]
    assert seen["down"] == sorted(seen["down"], reverse=True)
    assert len(np.unique(seen["up"])) > 1


# Every chart has to be drawn and every link of the overview to lead to a clip.
INSPECTION_PROBE = """
<script>
const seen = {errors: window.probeErrors, overflow: document.documentElement.scrollWidth - window.innerWidth};
seen.images = [...document.images].map((image) => image.naturalWidth);
seen.charts = [...document.querySelectorAll(".charts polyline")].map((line) => line.getBoundingClientRect().width);
seen.links = [...document.querySelectorAll("td a")].map((link) => document.querySelector(link.hash).textContent);
seen.lead = document.querySelector(".lead").textContent.replace(/\\s+/g, " ").trim();
seen.findings = [...document.querySelectorAll(".findings .error")].map((each) => each.textContent);
document.title = JSON.stringify(seen);
</script>
"""


@pytest.fixture(scope="module")
def inspection_page(tmp_path_factory):
    corpus = tmp_path_factory.mktemp("corpus")
    for name, frames in (("clip <b>1", read_clip("lbax4n", 0, 8)), ("clip 2", np.zeros((6, 96, 128, 3), np.uint8))):
        (corpus / name).mkdir()
        for number, frame in enumerate(frames):
            cv2.imwrite(str(corpus / name / f"img{number}.png"), frame[..., ::-1])
    return write_inspection(inspect_source(str(corpus), VisionOptions()), tmp_path_factory.mktemp("out"))


@pytest.mark.parametrize("width", [1200, 420])
def test_inspection_page_draws_its_charts_and_fits(inspection_page, tmp_path, width):
    seen = look_at(inspection_page, tmp_path, width, INSPECTION_PROBE)
    assert "errors" not in seen
    assert seen["overflow"] <= 0
    assert len(seen["images"]) == 2
    assert min(seen["images"]) > 1000
    assert len(seen["charts"]) >= 6
    assert min(seen["charts"]) > 100
    assert seen["links"] == ["clip 2", "clip <b>1"]
    assert seen["lead"] == "2 clips: 1 without findings, 0 with warnings, 1 unusable"
    assert seen["findings"] == ["error: no face: the frames are black or of one single shade [frames 0-5]"]
