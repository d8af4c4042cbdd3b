"""A codec's blocks compiled by torch.compile, for its training steps alone."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import ConfigError, first_line

DEFAULT = "inductor"
# Of those that torch leaves to who debugs it, the ones that only leave out the compiler.
PLAIN = ("eager", "aot_eager")
log = logging.getLogger("hpcm_spectral")
# Graphs that a block may need: one per shape, precision and number of threads.
GRAPHS = 8


def compile_blocks(codec: Codec, setting: str | bool | None) -> None:
    """Have the blocks of a codec compiled when a training step first uses them.

    In evaluation, and where no gradient is wanted, they run as they are: encoder and decoder must go on computing the
    same priors, and every size of an image would be compiled anew. State dicts and copies of the codec are plain.

    Args:
        codec: The codec.
        setting: A backend of torch.compile; true for inductor, null or false for none.

    Raises:
        ConfigError: There is no such backend, or the codec has no blocks.
    """
    if setting is None or setting is False:
        return
    backend = DEFAULT if setting is True else setting
    usual = [*torch.compiler.list_backends(), *PLAIN]
    if backend not in usual:
        raise ConfigError(f"compile must be null, true ({DEFAULT}) or one of {', '.join(usual)}, got {backend!r}.")
    # A network that is wrapped knows its own best.
    types = getattr(codec.network, "block_types", codec.block_types)
    found = blocks_of(codec.network, types)
    if not found:
        kinds = " or ".join(kind.__name__ for kind in types)
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
    log.info("%d blocks: each is compiled with %s when a training step first calls it", len(found), backend)


@contextmanager
def naming_backend() -> Iterator[None]:
    """Where compiled blocks run, or their gradients, which are compiled at their first use, too.

    Raises:
        ConfigError: A backend could not compile.
    """
    try:
        yield
    except torch._dynamo.exc.BackendCompilerFailed as error:
        raise ConfigError(
            f"compile must name a backend that works here, got {error.backend_name}: "
            f"{first_line(error.inner_exception)}; compile=null trains uncompiled."
        ) from error


def blocks_of(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    """The modules of some classes within another, without those within one of them."""
    if isinstance(module, kinds):
        return [module]
    return [block for child in module.children() for block in blocks_of(child, kinds)]


class _TrainingCall:
    """Calls a module compiled in training steps, and plain otherwise."""

    def __init__(self, module: nn.Module, backend: str) -> None:
        self.module = module
        # Not by the module's own compile, which passes over torch.nn's classes, such as Sequential.
        self.compiled = torch.compile(self._plain, backend=backend, dynamic=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (self.module.training and torch.is_grad_enabled()):
            return self._plain(*args, **kwargs)
        with naming_backend():
            return self.compiled(*args, **kwargs)

    def _plain(self, *args: Any, **kwargs: Any) -> Any:
        return self.module._call_impl(*args, **kwargs)
