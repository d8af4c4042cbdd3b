from pathlib import Path

import pytest
from report_folders import PHASE1, phase_rows, write_config, write_rows, write_samples


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run whose phase 1 lasts 4 of its 6 epochs, with two samples."""
    write_config(tmp_path, PHASE1.format(mask="soft", num_epochs=4))
    write_rows(tmp_path, phase_rows())
    write_samples(tmp_path)
    return tmp_path
