"""A report in a browser: it renders, needs no network, reports no errors and fits a phone."""

import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from compared_runs import ON, write_run
from PIL import Image

from hpcm_spectral.reports.comparison import compare_runs, write_report

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium (Debian's package of that name)")
# Measures the page within a window of a width that chromium itself cannot be given.
FRAME = """<!DOCTYPE html><body><iframe id="page" src="{page}" style="width: {width}px; height: 800px; border: 0">
</iframe><script>
addEventListener("load", () => {{
  const page = document.getElementById("page").contentDocument;
  const images = [...page.images].filter((image) => image.complete && image.naturalWidth > 0);
  const cut = [...page.querySelectorAll("h1, h2, p, li, figcaption, caption span")].filter(
    (part) => part.getBoundingClientRect().right > {width} + 1);
  const box = page.documentElement;
  document.title = [box.clientWidth, box.scrollWidth, images.length, page.images.length, cut.length].join(" ");
}});
</script></body>"""


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run chromium without a window; what a page says on its console is in its stderr."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files"]
    options += [f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--v=0", "--no-first-run"]
    # Any host is unknown to it, so that a page which needs one would say so on its console.
    options += ["--host-resolver-rules=MAP * ~NOTFOUND"]
    command = [str(CHROMIUM), *options, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 12 configs with long names, a curve for each of three, and folders that are left out."""
    root = tmp_path_factory.mktemp("report")
    for number in range(12):
        lmbda = (0.0035, 0.0067, 0.013, 0.025)[number % 4]
        stage = ({}, ON, ON | {"mask": "hard"})[number // 4]
        name = f"a_rather_long_experiment_name-{number // 4}-lmbda={lmbda}"
        losses = [10 - number / 4, 6, 5 - number / 20]
        more = {"bpp": 0.2 + lmbda * 20, "psnr": 30 + lmbda * 200, "ms_ssim": 14 + lmbda * 100, "tau": [0.1, 0.5]}
        write_run(root / "runs" / name, losses, lmbda=lmbda, seconds=100, config={"phase1": stage}, **more)
    write_run(root / "runs" / "x" / ("unbroken" * 12), [5], state="running")
    (root / "runs" / ("foreign" * 20)).mkdir()
    write_report(root / "out", compare_runs([str(root / "runs")]), datetime(2026, 1, 31, 12))
    return root / "out" / "report.html"


def test_the_console_says_nothing(page: Path, tmp_path: Path) -> None:
    control = tmp_path / "control.html"
    control.write_text("<script>console.error('heard')</script><img src='http://example.com/a.png'>")
    heard = [
        line for line in chromium(tmp_path, "--dump-dom", control.as_uri()).stderr.splitlines() if "CONSOLE" in line
    ]
    assert any("heard" in line for line in heard)
    found = chromium(tmp_path, "--dump-dom", page.as_uri())
    assert [line for line in found.stderr.splitlines() if "CONSOLE" in line] == []
    assert "<h2>Convergence</h2>" in found.stdout


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window(page: Path, tmp_path: Path, width: int) -> None:
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(page=page.as_uri(), width=width))
    found = chromium(tmp_path, "--virtual-time-budget=10000", "--window-size=1400,900", "--dump-dom", frame.as_uri())
    title = re.search(r"<title>([\d ]+)</title>", found.stdout)
    assert title is not None, found.stdout[-500:]
    inner, needed, shown, images, cut = map(int, title[1].split())
    assert inner == width
    assert needed <= width
    assert (shown, images) == (7, 7)  # loss, rate, PSNR, MS-SSIM, tau; PSNR and MS-SSIM over rate
    assert cut == 0


def test_something_is_drawn(page: Path, tmp_path: Path) -> None:
    shot = tmp_path / "shot.png"
    chromium(tmp_path, f"--screenshot={shot}", "--window-size=1280,2400", page.as_uri())
    pixels = np.asarray(Image.open(shot).convert("L"))
    assert pixels.shape == (2400, 1280)
    # Ink in every stretch of 300 rows.
    assert all(stretch.std() > 5 for stretch in np.split(pixels, 8))
