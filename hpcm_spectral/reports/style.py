"""What all pictures share: colours, sizes, and how they are written."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hpcm_spectral.files import whole_file

DPI = 100
WIDTH = 14.0  # inches: 1400 pixels, a laptop's width

# Okabe and Ito's palette, told apart with every common kind of colour blindness.
BLUE, VERMILION, GREEN, BLACK, GREY = "#0072B2", "#D55E00", "#009E73", "#000000", "#767676"
PURPLE, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, BLACK, SKY)
SHADE = "#E8E8E8"
# ORANGE, open to what lies below, so that overlapping phases show both.
HATCH: dict[str, Any] = {"facecolor": "#E69F0024", "edgecolor": "#E69F0050", "hatch": "/", "linewidth": 0}
# From dark to light, like cividis without its yellow end, which vanishes on white.
TAU_COLOURS = ("#00224E", "#35669A", "#B0487A", "#E8A33D")
Dashes = Literal["solid"] | tuple[float, tuple[float, ...]]
TAU_DASHES: tuple[Dashes, ...] = ("solid", (0.0, (6.0, 2.0)), (0.0, (4.0, 2.0, 1.0, 2.0)), (0.0, (1.5, 1.5)))
TAU_STYLES = tuple(zip(TAU_COLOURS, TAU_DASHES, strict=True))

# Colour and marker of each scale, coarsest first; from the seventh on they repeat.
SCALE_STYLES = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "^"), (PURPLE, "D"), (ORANGE, "v"), (BLACK, "P"))
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 9, "borderaxespad": 0.1, "handlelength": 1.8}
LEGEND["bbox_to_anchor"] = (1.0, 1.0)


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of ``height`` inches that arranges its parts without overlaps."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.03)  # type: ignore[union-attr, call-arg]
    return figure


def name_axes(axes: Axes, *, title: str, y: str, x: str = "epoch") -> None:
    """Title and labels of a panel, with a light grid and without a box."""
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", parse_math=False)
    axes.set_xlabel(x, fontsize=10)
    axes.set_ylabel(y, fontsize=10)
    axes.tick_params(labelsize=9)
    axes.ticklabel_format(useOffset=False)
    axes.grid(True, color="#E0E0E0", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend_above(axes: Axes, handles: Sequence[Any]) -> None:
    """A legend above the panel's right end, where it covers no data."""
    if handles:
        axes.legend(handles=handles, loc="lower right", ncol=len(handles), columnspacing=1.2, **LEGEND)


def legend_beside(axes: Axes, handles: Sequence[Any]) -> None:
    """A legend right of the panel, for more entries than fit above it."""
    axes.legend(handles=handles, loc="upper left", **LEGEND)


def add_note(figure: Figure, text: str, width: int | None = None) -> None:
    """How to read the panels, below them; longer lines than ``width`` characters are broken."""
    lines = text if width is None else "\n".join(textwrap.fill(line, width) for line in text.splitlines())
    figure.supxlabel(lines, fontsize=10, x=0.01, ha="left", color="#404040", parse_math=False)


def say(axes: Axes, text: str, *, ticks: bool = True) -> None:
    """Words in the middle of a panel that has nothing to draw, perhaps without the vertical axis's ticks."""
    if not ticks:
        axes.set_yticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=13, color=GREY)


def shortened(text: str, length: int) -> str:
    """``text``, cut to ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def legend_label(text: str) -> str:
    """Words of somebody's choice for a legend, which sets dollars as mathematics and hides what begins with _."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
