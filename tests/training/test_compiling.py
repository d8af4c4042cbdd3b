"""Training with compiled blocks: the same numbers, and nothing compiled outside training steps."""

import copy
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch._dynamo.utils
from logged import column
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.compilers import nop
from torch._inductor.exc import InductorError

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import ConfigError
from hpcm_spectral.losses import RateDistortionLoss
from hpcm_spectral.models import DHIC, CompressAI, HPCM_Tiny
from hpcm_spectral.training import CodecModule, Recipe
from hpcm_spectral.training.compiling import blocks_of, compile_blocks


def small_dhic(*, checkpointed: bool = False) -> DHIC:
    ones, twos = [1, 1], [8, 8]
    depths = dict.fromkeys(("encoder_depths", "prior_depths_before", "decoder_depths_before"), ones)
    more = {"prior_depths_after": [1], "decoder_depths_after": ones, "stem_channels": 8, "stem_depth": 1, "levels": 1}
    return DHIC(channels=twos, latent_channels=twos, **depths, **more, gradient_checkpointing=checkpointed)


def steps(codec: Codec, count: int, x: torch.Tensor) -> list[list[float]]:
    """Loss and gradient norm of some training steps."""
    module, found = CodecModule(codec.train(), RateDistortionLoss(), Recipe(torch.optim.Adam)), []
    optimizer = torch.optim.Adam(codec.parameters(), lr=1e-3)
    torch.manual_seed(0)
    for _ in range(count):
        optimizer.zero_grad()
        loss = module.training_loss(x, 0).loss
        loss.backward()
        found.append([loss.item(), nn.utils.get_total_norm([p.grad for p in codec.parameters()]).item()])
        optimizer.step()
    return found


def test_a_run_with_compiled_blocks_equals_one_without(
    run_train: Callable[..., int], short_run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    own = [*short_run, "callbacks=ema", "trainer.max_epochs=1", "data.samples_per_epoch=4"]
    assert run_train(*own, f"hydra.run.dir={plain}") == 0
    # As of a run that began before there was the setting.
    config = (plain / "config.yaml").read_text()
    assert "\ncompile: null\n" in config
    assert run_train(*own, "compile=eager", f"hydra.run.dir={compiled}") == 0
    err = capsys.readouterr().err
    assert "4 blocks: each is compiled with eager" in err
    assert re.search(r"the first step took [\d.]+ s", err)
    for key in ("train/loss", "train/bpp_loss", "val/loss", "val/psnr"):
        assert column(compiled, key) == pytest.approx(column(plain, key), rel=1e-5), key

    (plain / "config.yaml").write_text(config.replace("\ncompile: null\n", "\n"))
    assert run_train(f"resume={plain}", "compile=eager", "trainer.max_epochs=2") == 0
    assert len(column(plain, "val/loss")) == 2


def test_training_steps_alone_are_compiled() -> None:
    seen: list[str] = []

    @torch._dynamo.register_backend
    def counting(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable:
        seen.append(graph.__class__.__name__)
        return graph.forward

    torch.manual_seed(0)
    codec, x = CompressAI("bmshj2018-hyperprior", 1), torch.rand(1, 3, 64, 128)
    plain, keys = copy.deepcopy(codec), list(codec.state_dict())
    compile_blocks(codec, "counting")
    assert list(codec.state_dict()) == keys
    metrics = []
    for each in (plain, codec, copy.deepcopy(codec)):
        module = CodecModule(each.eval(), RateDistortionLoss(), Recipe(torch.optim.Adam), ms_ssim=False)
        metrics.append(module.validation_metrics(x))
        each(x)["x_hat"].sum().backward()
        with torch.no_grad():
            each.train()(x)
    assert metrics[0] == metrics[1] == metrics[2]
    copy.deepcopy(codec).train()(x)
    assert seen == []
    codec(x)
    assert len(seen) == 4


def test_a_backend_that_fails_is_named_with_its_reason() -> None:
    @torch._dynamo.register_backend
    def broken(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable:
        raise RuntimeError("no compiler here\nnor there")

    codec = CompressAI("bmshj2018-factorized", 1)
    compile_blocks(codec, "broken")
    with pytest.raises(ConfigError, match="works here, got broken: no compiler here; compile=null trains uncompiled."):
        codec(torch.rand(1, 3, 64, 64))


def test_a_backend_that_fails_at_a_gradient_is_named_too() -> None:
    def fail(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable:
        raise InductorError(RuntimeError("no compiler here"), None)

    torch._dynamo.register_backend(aot_autograd(fw_compiler=nop, bw_compiler=fail), "half_broken")
    codec, x = CompressAI("bmshj2018-factorized", 1), torch.rand(1, 3, 64, 64)
    compile_blocks(codec, "half_broken")
    module = CodecModule(codec, RateDistortionLoss(), Recipe(torch.optim.Adam))
    loss = module.training_loss(x, 0).loss
    with pytest.raises(ConfigError, match="works here, got inductor: no compiler here"):
        module.backward(loss)


def test_checkpointed_blocks_compile_too() -> None:
    """In a process of its own, as the tests' type checker cannot be compiled."""
    code = "import test_compiling as t; t.compare_checkpointed_blocks()"
    path = os.pathsep.join(str(Path(__file__).parents[above]) for above in range(3))
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def compare_checkpointed_blocks() -> None:
    x = torch.rand(2, 3, 64, 64)
    plain, compiled = small_dhic(), small_dhic(checkpointed=True)
    compiled.load_state_dict(plain.state_dict())
    compile_blocks(compiled, "aot_eager")
    for ours, theirs in zip(steps(compiled, 2, x), steps(plain, 2, x), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert 0 < graphs < len(blocks_of(compiled, compiled.block_types))


def test_blocks_are_the_outermost_modules_of_their_classes() -> None:
    kinds = [type(block).__name__ for block in blocks_of(small_dhic(), DHIC.block_types)]
    assert (kinds.count("Block"), kinds.count("FFN")) == (len(kinds) - 2, 2)
    assert {type(block).__name__ for block in blocks_of(HPCM_Tiny(), HPCM_Tiny().block_types)} == {
        "PConvRB",
        "DWConvRB",
        "WindowCrossAttention",
    }
    with pytest.raises(ConfigError, match="compile must be null for a codec without modules of the class Sequential"):
        compile_blocks(Codec(), "eager")
