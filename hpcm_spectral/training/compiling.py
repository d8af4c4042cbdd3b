"""A codec's blocks compiled by torch.compile, for its training steps alone."""

import logging
from typing import Any

import torch
from torch import nn

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import ConfigError, first_line

log = logging.getLogger("hpcm_spectral")
# Graphs that a block may need: one per shape, precision and number of threads.
GRAPHS = 8


def compile_blocks(codec: Codec, backend: str) -> None:
    """Have the blocks of a codec compiled when a training step first uses them.

    In evaluation, and where no gradient is wanted, they run as they are: encoder and decoder must go on computing the
    same priors, and every size of an image would be compiled anew. State dicts and copies of the codec are plain.

    Args:
        codec: The codec.
        backend: One of torch.compile's.

    Raises:
        ConfigError: There is no such backend, or the codec has no blocks.
    """
    # Those for debugging are left to who knows them.
    if backend not in torch.compiler.list_backends(None):
        usual = ", ".join(torch.compiler.list_backends())
        raise ConfigError(f"compile must be null or one of {usual}, got {backend!r}; compile=null trains without.")
    found = blocks_of(codec.network, codec.block_types)
    if not found:
        kinds = " or ".join(kind.__name__ for kind in codec.block_types)
        raise ConfigError(
            f"compile must be null for a codec without modules of the class {kinds}, got {backend}; name those of its "
            "blocks in its block_types."
        )
    for block in found:
        # nn.Module leaves this attribute out of every copy.
        block._compiled_call_impl = _TrainingCall(block, backend)
    # Dynamo counts the graphs of all modules as those of one function. By their older names, which 2.6 knows.
    config: Any = torch._dynamo.config
    config.cache_size_limit += GRAPHS * len(found)
    config.accumulated_cache_size_limit += GRAPHS * len(found)
    log.info("%d blocks are compiled with %s at their first use", len(found), backend)


def blocks_of(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    """The modules of some classes within another, without those within one of them."""
    if isinstance(module, kinds):
        return [module]
    return [block for child in module.children() for block in blocks_of(child, kinds)]


class _TrainingCall:
    """Calls a module compiled in training steps, and plain otherwise."""

    def __init__(self, module: nn.Module, backend: str) -> None:
        self.module, self.backend = module, backend
        # Not by the module's own compile, which passes over torch.nn's classes, such as Sequential.
        self.compiled = torch.compile(self._plain, backend=backend, dynamic=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (self.module.training and torch.is_grad_enabled()):
            return self._plain(*args, **kwargs)
        try:
            return self.compiled(*args, **kwargs)
        except torch._dynamo.exc.BackendCompilerFailed as error:
            reason = first_line(error.inner_exception)
            raise ConfigError(
                f"compile must name a backend that works here, got {self.backend}: {reason}; compile=null trains "
                "without it."
            ) from error

    def _plain(self, *args: Any, **kwargs: Any) -> Any:
        return self.module._call_impl(*args, **kwargs)
