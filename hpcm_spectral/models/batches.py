"""Codecs in CompressAI's form: batches of images as lists of strings."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float

from hpcm_spectral.codec import Codec, EncodedImage


class CodesBatches(Codec):
    """Brings ``compress`` and ``decompress`` to a codec, so that CompressAI's own tools run on it.

    Attributes:
        string_names: The codec's strings in the order of CompressAI's lists.
        shape_multiple: What images' sides must be multiples of, in pixels; ``shape`` counts these.
    """

    string_names: tuple[str, ...]
    shape_multiple: int = 64

    def compress(self, x: Float[torch.Tensor, "B 3 H W"], level: int = 0) -> dict[str, Any]:
        """Code images, each by itself.

        Returns:
            ``strings``: a list per name with one per image; ``shape``: height and width divided by ``shape_multiple``.

        Raises:
            ValueError: A side is no such multiple, or there are no coding tables.
        """
        height, width = x.shape[-2:]
        multiple = self.shape_multiple
        if height % multiple or width % multiple:
            raise ValueError(f"sides must be multiples of {multiple}, got {height}x{width}; pad them, or use encode.")
        images = [self.encode(image, level) for image in x.split(1)]
        strings = [[image.strings[name] for image in images] for name in self.string_names]
        return {"strings": strings, "shape": torch.Size((height // multiple, width // multiple))}

    def decompress(
        self, strings: Sequence[Sequence[bytes]], shape: Sequence[int], level: int = 0
    ) -> dict[str, torch.Tensor]:
        """Decode what :meth:`compress` returned to ``x_hat``: reconstructions in [0, 1]."""
        height, width = (self.shape_multiple * side for side in shape)
        images = [
            EncodedImage(dict(zip(self.string_names, parts, strict=True)), height, width, level)
            for parts in zip(*strings, strict=True)
        ]
        return {"x_hat": torch.cat([self.decode(image) for image in images]).clamp(0, 1)}
