"""What asks for nothing heavy imports nothing heavy: help and configs come without torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "lightning", "matplotlib", "pandas", "compressai", "torchvision", "scipy")
PROGRAMS = ("train", "benchmark", "compress", "decompress", "evaluate", "convert_checkpoint", "report")
ENDS = f"""
import atexit, sys
atexit.register(lambda: print("heavy:", [name for name in {HEAVY} if name in sys.modules]))
"""


def run_code(code: str, *arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        *((program, ["--help"]) for program in PROGRAMS),
        ("train", ["--cfg", "job"]),
        ("train", ["experiment=tau_sweep", "--cfg", "job", "--resolve"]),
        ("train", ["--info", "defaults"]),
        ("benchmark", ["--cfg", "job", "benchmark=step"]),
    ],
)
def test_flags_of_hydra_need_no_torch(program: str, flags: list[str], tmp_path: Path) -> None:
    out = run_code(f"{ENDS}\nfrom hpcm_spectral.cli.entry import {program}\n{program}()", *flags, cwd=tmp_path)
    assert out.splitlines()[-1] == "heavy: []"
    assert len(out.splitlines()) > 5
    assert list(tmp_path.iterdir()) == []


def test_the_package_offers_its_stages_by_name_without_importing_them_before() -> None:
    code = f"{ENDS}\nimport hpcm_spectral\nassert 'torch' not in sys.modules\n"
    code += "from hpcm_spectral import DCTTransform, InterScaleRegularizer, SpectralTruncation\n"
    code += "from hpcm_spectral.stages import SpectralTruncation as same\nassert SpectralTruncation is same\n"
    code += "try: hpcm_spectral.Missing\nexcept AttributeError as error: print(error)\n"
    assert "module 'hpcm_spectral' has no attribute 'Missing'" in run_code(code)


@pytest.mark.parametrize("first", ["import torchvision", "import compressai", "import torch, torchvision.ops"])
def test_torchvision_can_be_imported_once_the_package_was(first: str) -> None:
    pytest.importorskip("torchvision")
    code = f"import sys, hpcm_spectral\nassert 'torch' not in sys.modules\n{first}\n"
    code += "print('declared' if 'hpcm_spectral._torchvision_ops' in sys.modules else 'not')\n"
    code += "print(sum(type(f).__module__ == 'hpcm_spectral' for f in sys.meta_path), 'finders left')"
    assert run_code(code).splitlines() == ["declared", "0 finders left"]
