"""HPCM's coding order as constant tables: three scales, eleven coded steps, and the ways between scales.

Every scale splits the channels into consecutive groups. A step codes, at each position, exactly one of the
groups, so its values fold into one tensor with a group's channels. Which group it is depends on the position
within a small cell: a table.

Letters: B batch, C channels of y, G groups, c = C / G channels of a group, h and w positions of a scale.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import torch
from jaxtyping import Float, Int, Shaped

Phase = tuple[int, int]
Cell = tuple[tuple[int, ...], ...]

# Positions of a 2x2 cell, and the pairs of a 4x4 cell, that one group codes in one step.
_CHECKERBOARD = (((0, 0), (1, 1)), ((0, 1), (1, 0)))
_PHASES = (((0, 0),), ((0, 1),), ((1, 0),), ((1, 1),))
_PAIRS = (
    ((0, 0), (2, 2)),
    ((0, 2), (2, 0)),
    ((1, 1), (3, 3)),
    ((1, 3), (3, 1)),
    ((0, 1), (2, 3)),
    ((0, 3), (2, 1)),
    ((1, 0), (3, 2)),
    ((1, 2), (3, 0)),
)


def _cell(size: int, patterns: tuple[tuple[Phase, ...], ...], pattern_of_group: tuple[int, ...]) -> Cell:
    """Group coded at each position of a cell, from the pattern that each group codes."""
    group_at = {phase: group for group, pattern in enumerate(pattern_of_group) for phase in patterns[pattern]}
    return tuple(tuple(group_at[row, column] for column in range(size)) for row in range(size))


@dataclass(frozen=True)
class Scale:
    """One scale's geometry.

    Args:
        groups: Channel groups of a step.
        cells: Per coded step, the group coded at each position of a cell.
        window: Side of the attention windows.
        inherited: Per equal group of channels, the position of a 2x2 cell that the coarser scale decoded.
        published_source: Per group of 40 of 320 channels, the phase that the published model leaves out of the
            hyper prior added at this scale, where it is not the inherited one.
    """

    groups: int
    cells: tuple[Cell, ...]
    window: int
    inherited: tuple[Phase, ...] = ()
    published_source: tuple[Phase, ...] = ()


SCALES = (
    Scale(groups=2, cells=tuple(_cell(2, _CHECKERBOARD, order) for order in ((0, 1), (1, 0))), window=4),
    Scale(
        groups=4,
        # The first of the scale's four steps, (0, 1, 2, 3), is scale 1.
        cells=tuple(_cell(2, _PHASES, order) for order in ((3, 2, 1, 0), (2, 3, 0, 1), (1, 0, 3, 2))),
        window=8,
        inherited=((0, 0), (0, 1), (1, 0), (1, 1)),
        published_source=((0, 0),) * 4 + ((0, 1),) * 4,
    ),
    Scale(
        groups=8,
        # The first two of the scale's eight steps are scale 2.
        cells=tuple(
            _cell(4, _PAIRS, order)
            for order in (
                (2, 4, 6, 0, 3, 5, 7, 1),
                (3, 5, 7, 1, 2, 4, 6, 0),
                (4, 6, 0, 2, 5, 7, 1, 3),
                (5, 7, 1, 3, 4, 6, 0, 2),
                (6, 0, 2, 4, 7, 1, 3, 5),
                (7, 1, 3, 5, 6, 0, 2, 4),
            )
        ),
        window=8,
        inherited=((0, 0), (1, 1), (0, 1), (1, 0)) * 2,
    ),
)


@dataclass(frozen=True)
class CodingStep:
    """One of the eleven coded steps.

    Args:
        scale: Index of its scale, coarsest first.
        cell: Group coded at each position of a cell.
        enters_scale: It is the first of its scale.
        index: Number of its adaptor and gain; None for the very first step, which the hyper prior alone drives.
    """

    scale: int
    cell: Cell
    enters_scale: bool
    index: int | None


_CELLS = [(s, k, cell) for s, scale in enumerate(SCALES) for k, cell in enumerate(scale.cells)]
CODING_STEPS = tuple(CodingStep(s, cell, k == 0, i - 1 if i else None) for i, (s, k, cell) in enumerate(_CELLS))
# Coded steps up to and including each scale.
STEPS_UP_TO = tuple(accumulate(len(scale.cells) for scale in SCALES))


@lru_cache(maxsize=128)
def group_index(cell: Cell, height: int, width: int, device: torch.device) -> Int[torch.Tensor, "h w"]:
    """The group coded at each position of a plane whose sides are multiples of the cell's."""
    size = len(cell)
    # A table first made under inference_mode must serve a later training step too.
    with torch.inference_mode(False):
        return torch.tensor(cell, device=device).repeat(height // size, width // size)


def fold(
    x: Shaped[torch.Tensor, "B C h w"], groups: int, index: Int[torch.Tensor, "h w"]
) -> Shaped[torch.Tensor, "B c h w"]:
    """The values that a step codes: at each position those of the group that ``index`` names."""
    grouped = x.unflatten(1, (groups, -1))
    batch, _, channels, height, width = grouped.shape
    return grouped.gather(1, index.expand(batch, 1, channels, height, width)).squeeze(1)


def unfold_into(
    x: Float[torch.Tensor, "B C h w"],
    values: Float[torch.Tensor, "B c h w"],
    groups: int,
    index: Int[torch.Tensor, "h w"],
) -> Float[torch.Tensor, "B C h w"]:
    """``x`` with a step's values put where they belong: the inverse of :func:`fold`."""
    folded = values.unsqueeze(1)
    return x.unflatten(1, (groups, -1)).scatter(1, index.expand_as(folded), folded).flatten(1, 2)


def to_coarser(x: Shaped[torch.Tensor, "B C h w"], scale: Scale) -> Shaped[torch.Tensor, "B C h//2 w//2"]:
    """The polyphase slice of ``scale`` that the next coarser scale is made of."""
    grouped = x.unflatten(1, (len(scale.inherited), -1))
    slices = [grouped[:, j, :, r::2, c::2] for j, (r, c) in enumerate(scale.inherited)]
    return torch.cat(slices, dim=1)


def to_finer(
    coarse: Shaped[torch.Tensor, "B C h_coarse w_coarse"], into: Shaped[torch.Tensor, "B C h w"], scale: Scale
) -> Shaped[torch.Tensor, "B C h w"]:
    """``into`` with the coarser scale's values at the positions that ``scale`` inherits."""
    grouped = into.unflatten(1, (len(scale.inherited), -1)).clone()
    for j, ((r, c), values) in enumerate(zip(scale.inherited, coarse.chunk(len(scale.inherited), 1), strict=True)):
        grouped[:, j, :, r::2, c::2] = values
    return grouped.flatten(1, 2)


def shift_to_published(x: Float[torch.Tensor, "B C h w"], scale: Scale) -> Float[torch.Tensor, "B C h w"]:
    """Values at the positions that ``scale`` newly codes, as the published model misplaces them.

    The published model takes, per group of channels, all positions but one phase and writes them in row-major
    order into the positions that the coarser scale left free. Where that phase is not the inherited one, values
    land elsewhere in the same pair of rows. The inherited positions keep ``x``, for the caller to overwrite.
    """
    sources = scale.published_source
    targets = [phase for phase in scale.inherited for _ in range(len(sources) // len(scale.inherited))]
    width = x.shape[-1]
    groups = []
    for source, target, values in zip(sources, targets, x.chunk(len(sources), dim=1), strict=True):
        if source != target:
            row_pairs = values.unflatten(-2, (-1, 2)).flatten(-2)
            moved = row_pairs.index_select(-1, _all_but(source, width, x.device))
            row_pairs = row_pairs.index_copy(-1, _all_but(target, width, x.device), moved)
            values = row_pairs.unflatten(-1, (2, width)).flatten(-3, -2)
        groups.append(values)
    return torch.cat(groups, dim=1)


@lru_cache(maxsize=128)
def _all_but(phase: Phase, width: int, device: torch.device) -> Int[torch.Tensor, " n"]:
    """Indices into two flattened rows of all positions but one phase of every 2x2 cell."""
    kept = [row * width + column for row in (0, 1) for column in range(width) if (row, column % 2) != phase]
    with torch.inference_mode(False):
        return torch.tensor(kept, device=device)


def assemble(folded: list[Float[torch.Tensor, "B _ _ _"]], fill: float = 0.0) -> Float[torch.Tensor, "B C h w"]:
    """One full-size tensor from what each of the eleven steps gave, in their order."""
    full: torch.Tensor | None = None
    for step, values in zip(CODING_STEPS, folded, strict=True):
        scale = SCALES[step.scale]
        batch, channels, height, width = values.shape
        if step.enters_scale:
            empty = values.new_full((batch, channels * scale.groups, height, width), fill)
            full = empty if full is None else to_finer(full, empty, scale)
        assert full is not None
        full = unfold_into(full, values, scale.groups, group_index(step.cell, height, width, values.device))
    assert full is not None
    return full
