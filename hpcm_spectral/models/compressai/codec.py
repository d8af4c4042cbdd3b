"""A CompressAI ``CompressionModel`` behind the protocol."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from compressai.entropy_models import EntropyBottleneck, EntropyModel
from compressai.models import CompressionModel
from jaxtyping import Float
from torch import nn

from hpcm_spectral.codec import Codec, CodecOutput, EncodedImage, Level, ScaleLatent
from hpcm_spectral.errors import CheckpointError, CodingError, one_line
from hpcm_spectral.models.compressai.symbols import SymbolChecksum
from hpcm_spectral.ops import Padding, centred_padding
from hpcm_spectral.ops.devices import as_float32, out_of_memory, reproducible, transforms_in

# Of a model that does not say by how much it downsamples.
SIZE_MULTIPLE = 64
# In CompressAI's order, in which strings come out of ``compress``.
NAMES = ("y", "z")
SHAPE = "shape"
# A decoder that is out of step reads on past the end of a string; it shall find zeros there.
ZEROS_PER_PIXEL, ZEROS = 10, 4096
# Symbols of a coding table, which has 16 bits for all of them.
WIDEST = 2**16


class CompressAICodec(Codec):
    """Any ``CompressionModel`` as a codec.

    .. code-block:: none

        image ──► padding ──► model.forward ──► x_hat ──► cropping
                                   │
                                   └──► entropy models ──► likelihoods, latents

    Latents are what the model's entropy models return beside the likelihoods that its ``forward`` names, so z and y of
    a hyper-prior codec are two scales; a model whose ``forward`` returns ``latents`` itself keeps those.

    The quantiles of entropy bottlenecks are no part of the training loss. CompressAI trains them by an auxiliary loss
    of thousands of steps; here they are solved for (CompressAI's own bisection) before each validation and export, so
    that they fit the weights exactly however short the training was.

    Args:
        model: The model. Its weights are what files hold, under its own names.
        name: The name it is registered under; empty for a class of one's own.
        arguments: What the model was built from.
    """

    def __init__(self, model: CompressionModel, name: str = "", arguments: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.arguments = dict(arguments or {})
        self.size_multiple = int(getattr(model, "downsampling_factor", SIZE_MULTIPLE))
        for bottleneck in self._bottlenecks():
            # No gradient ever reaches them, which training on several devices would take for an error.
            bottleneck.quantiles.requires_grad_(False)

    @property
    def free_transforms(self) -> bool:  # type: ignore[override]
        """Of CompressAI's own codecs alone it is known what g_a and g_s are used for."""
        return type(self.model).__module__.startswith("compressai.") and len(self._transforms()) == 2

    @property
    def network(self) -> CompressionModel:
        """CompressAI's own model."""
        return self.model

    def forward(self, x: Float[torch.Tensor, "B 3 H W"], level: Level | None = None) -> CodecOutput:
        """See :class:`Codec`; there is one rate, so that ``level`` is ignored."""
        padding = self._padding(*x.shape[-2:])
        seen: list[Any] = []
        hooks = [
            module.register_forward_hook(lambda _, __, output: seen.append(output))
            for module in self.model.modules()
            if isinstance(module, EntropyModel)
        ]
        try:
            out = self.model(padding.pad(x))
        finally:
            for hook in hooks:
                hook.remove()
        likelihoods = out["likelihoods"]
        latents = out.get("latents")
        if latents is None:
            # By identity, as an entropy model may also be called for something that is not coded.
            named = [y_hat for y_hat, p in seen if any(p is coded for coded in likelihoods.values())]
            latents = [
                ScaleLatent(y_hat, torch.ones_like(y_hat[:1], dtype=torch.bool))
                for y_hat in sorted(named, key=lambda y_hat: y_hat.shape[-2:].numel())
            ]
        return {"x_hat": padding.crop(out["x_hat"]), "likelihoods": dict(likelihoods), "latents": list(latents)}

    @torch.inference_mode()
    def encode(self, x: Float[torch.Tensor, "1 3 H W"], level: int = 0) -> EncodedImage:
        """See :class:`Codec`.

        Raises:
            CodingError: The latents are not finite.
            ValueError: There are no coding tables; ``update`` makes them.
        """
        height, width = x.shape[-2:]
        padding = self._padding(height, width)
        with reproducible(x.device), self._lowered(), SymbolChecksum(self._registered(), "quantize") as coded:
            try:
                out = self.model.compress(padding.pad(x.float()))
                parts = [string[0] for string in out["strings"]]
            except (CodingError, ValueError):  # the latter where there are no coding tables
                raise
            except Exception as error:  # a class of one's own can fail in any way
                if out_of_memory(error):
                    raise
                raise CodingError(f"The codec's compress must return strings, but fails: {_reason(error)}.") from error
        names = NAMES if len(parts) <= len(NAMES) else [f"s{number}" for number in range(1, len(parts) + 1)]
        strings = dict(zip(names, parts, strict=False))
        if (shape := _plain(out["shape"])) != self._shape(height, width, padding):
            strings[SHAPE] = json.dumps(shape).encode()
        return EncodedImage(strings, height, width, checksum=coded.value)

    @torch.inference_mode()
    def decode(self, image: EncodedImage, scales: int | None = None) -> Float[torch.Tensor, "1 3 H W"]:
        """See :class:`Codec`; the reconstruction is clamped, as CompressAI's are. There is no part of it."""
        self._scales_to_decode(scales)
        padding = self._padding(image.height, image.width)
        zeros = bytes(ZEROS_PER_PIXEL * image.height * image.width + ZEROS)
        strings = [[string + zeros] for name, string in image.strings.items() if name != SHAPE]
        expected = self._shape(image.height, image.width, padding)
        sides = [side * self.size_multiple for side in expected]
        device = next(self.parameters()).device
        with reproducible(device), self._lowered(), SymbolChecksum(self._registered(), "dequantize") as coded:
            try:
                shape = _read_shape(image.strings[SHAPE], max(sides)) if SHAPE in image.strings else expected
                x_hat = self.model.decompress(strings, shape)["x_hat"]
            except Exception as error:  # of a file that no encoder wrote anything may come
                if out_of_memory(error):
                    raise
                raise CodingError(f"must be decoded by the codec, but that fails: {_reason(error)}") from None
        if list(x_hat.shape[-2:]) != sides:
            raise CodingError(f"must decode to {sides[0]}x{sides[1]} pixels, got {list(x_hat.shape[-2:])}")
        image.check_symbols(coded.value)
        return padding.crop(x_hat)

    def update(self, *, force: bool = False) -> bool:
        """CompressAI's own tables.

        Raises:
            CheckpointError: An entropy bottleneck's quantiles would make tables that no memory holds.
        """
        for bottleneck in self._bottlenecks():
            low, median, high = bottleneck.quantiles.detach()[:, 0].unbind(-1)
            if not bool(((low <= median) & (median <= high) & (high - low <= WIDEST)).all()):
                raise CheckpointError(
                    f"The quantiles of a codec must rise by at most {WIDEST}, got others; settle them."
                )
        return bool(self.model.update(force=force))

    @torch.no_grad()
    def settle(self) -> None:
        """Solve for the quantiles of entropy bottlenecks; see the class."""
        for bottleneck in self._bottlenecks():
            bottleneck._update_quantiles()

    def _bottlenecks(self) -> list[EntropyBottleneck]:
        return [module for module in self.model.modules() if isinstance(module, EntropyBottleneck)]

    def _transforms(self) -> list[nn.Module]:
        return [part for name in ("g_a", "g_s") if isinstance(part := getattr(self.model, name, None), nn.Module)]

    @contextmanager
    def _lowered(self) -> Iterator[None]:
        """While it is open, the transforms compute in ``transform_dtype``."""

        def lowered(forward: Any, x: torch.Tensor) -> torch.Tensor:
            with transforms_in(self.transform_dtype, x.device) as layout:
                return as_float32(forward(x.contiguous(memory_format=layout)))

        parts = self._transforms() if self.transform_dtype != torch.float32 else []
        for part in parts:
            part.forward = partial(lowered, part.forward)
        try:
            yield
        finally:
            for part in parts:
                del part.forward

    def _registered(self) -> list[EntropyModel]:
        """The entropy models whose symbols are known to pass the same way in both directions."""
        return [m for m in self.model.modules() if isinstance(m, EntropyModel)] if "." not in self.name else []

    def _padding(self, height: int, width: int) -> Padding:
        return centred_padding(height, width, self.size_multiple)

    def _shape(self, height: int, width: int, padding: Padding) -> list[int]:
        """What CompressAI's ``shape`` is for an image of this size."""
        sides = (height + padding.top + padding.bottom, width + padding.left + padding.right)
        return [side // self.size_multiple for side in sides]


def _reason(error: Exception) -> str:
    return one_line(error) or type(error).__name__


def _read_shape(text: bytes, most: int) -> Any:
    """What :func:`_plain` wrote; no latent is larger than its image.

    Raises:
        ValueError: It is something else.
    """

    def checked(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: checked(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [checked(inner) for inner in value]
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"a shape must hold numbers from 1 to {most}, got {value!r}")
        return value

    return checked(json.loads(text))


def _plain(shape: Any) -> Any:
    """A shape, or a nest of them, as JSON holds it."""
    if isinstance(shape, Mapping):
        return {key: _plain(value) for key, value in shape.items()}
    return [_plain(value) for value in shape] if isinstance(shape, tuple | list | torch.Size) else shape
