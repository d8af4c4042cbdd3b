"""Figures of configs that were measured side by side: as a table, as plain values, as a picture."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from hpcm_spectral.reports import style
from hpcm_spectral.tables import text_table

LABEL_LENGTH = 60


class Spread(NamedTuple):
    """A median, and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one value or more."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def text(self, digits: int) -> tuple[str, str]:
        """The median, and from where to where."""
        return f"{self.median:.{digits}f}", f"{self.low:.{digits}f} to {self.high:.{digits}f}"


@dataclass(frozen=True)
class Measured:
    """What was measured of one config.

    Args:
        name: Its name among the others.
        overrides: What it sets besides the command.
        subject: What was done to what.
        images: Per call.
        threads: Of PyTorch.
        first_seconds: Time of the call that warmed up.
        seconds: Of the others, one per round.
        peak_mib: Most memory in a process of its own; None if not measured.
        operations: Floating-point operations of a call; None if they do not matter.
        matrix: Key of the matrix products that these compare with.
    """

    name: str
    overrides: Sequence[str]
    subject: str
    images: int
    threads: int
    first_seconds: float
    seconds: Sequence[float]
    peak_mib: float | None = None
    operations: int | None = None
    matrix: str | None = None

    @property
    def images_per_second(self) -> float:
        """By the median."""
        return self.images / statistics.median(self.seconds)

    @property
    def operations_per_second(self) -> float | None:
        """By the median."""
        return None if self.operations is None else self.operations / statistics.median(self.seconds)


@dataclass(frozen=True)
class Comparison:
    """Configs side by side, the first of which the others are compared with.

    Args:
        title: What was measured, and where.
        configs: One or more.
        matrix_rates: Operations per second of matrix products in the same run, by precision and threads.
    """

    title: str
    configs: Sequence[Measured]
    matrix_rates: Mapping[str, float]

    @property
    def several(self) -> bool:
        """Whether there are several rounds: figures of a single one have no spread."""
        return len(self.configs[0].seconds) > 1

    def ratio(self, config: Measured) -> Spread:
        """Of its time to the first one's in the same round."""
        return Spread.of([own / first for own, first in zip(config.seconds, self.configs[0].seconds, strict=True)])

    def memory_ratio(self, config: Measured) -> float | None:
        """Of its peak memory to the first one's."""
        first = self.configs[0].peak_mib
        return None if config.peak_mib is None or first is None else config.peak_mib / first

    def share(self, config: Measured) -> float | None:
        """Of the matrix products' rate that it reaches."""
        rate = config.operations_per_second
        return None if rate is None or config.matrix is None else rate / self.matrix_rates[config.matrix]

    def table(self) -> str:
        """The figures as text, one config per line, columns without any figure left out."""
        headings = ["config", "seconds", "quartiles of seconds", "time ratio", "quartiles of ratio", "images/s"]
        headings += ["first call", "peak MiB", "memory ratio", "GFLOP", "GFLOP/s", "of matrix products"]
        rows = []
        for own in self.configs:
            rate, share = own.operations_per_second, self.share(own)
            optional = [
                _text(own.peak_mib, ".0f"),
                _text(self.memory_ratio(own), ".3f"),
                _text(own.operations and own.operations / 1e9, ".1f"),
                _text(rate and rate / 1e9, ".1f"),
                _text(share, ".0%"),
            ]
            spreads = [Spread.of(own.seconds).text(4), self.ratio(own).text(3)]
            times = [text for median, quartiles in spreads for text in (median, quartiles * self.several)]
            rows.append([own.name, *times, f"{own.images_per_second:.2f}", f"{own.first_seconds:.4f}", *optional])
        kept = [i for i in range(len(headings)) if any(row[i] for row in rows)]
        cells = [[row[i] for i in kept] for row in rows]
        rounds = f"medians of {len(self.configs[0].seconds)} rounds" if self.several else "one round"
        lines = [f"{self.title}, {rounds}"]
        lines += [text_table([headings[i] for i in kept], cells)]
        lines += [f"matrix products, {key}: {rate / 1e9:.1f} GFLOP/s" for key, rate in self.matrix_rates.items()]
        subjects = {own.subject for own in self.configs}
        if len(subjects) == 1:
            return "\n".join([*lines, f"each: {subjects.pop()}"])
        return "\n".join([*lines, *(f"{own.name}: {own.subject}" for own in self.configs)])

    def plain(self) -> dict[str, Any]:
        """All figures as values that JSON can hold."""
        configs = []
        for own in self.configs:
            rate = own.operations_per_second
            configs.append(
                {
                    "name": own.name,
                    "overrides": list(own.overrides),
                    "subject": own.subject,
                    "images": own.images,
                    "threads": own.threads,
                    "first_seconds": own.first_seconds,
                    "seconds": list(own.seconds),
                    "seconds_spread": Spread.of(own.seconds)._asdict(),
                    "ratio_spread": self.ratio(own)._asdict(),
                    "images_per_second": own.images_per_second,
                    "peak_mib": own.peak_mib,
                    "peak_ratio": self.memory_ratio(own),
                    "gflop": own.operations and own.operations / 1e9,
                    "gflop_per_second": rate and rate / 1e9,
                    "matrix_products": own.matrix,
                    "share_of_matrix_products": self.share(own),
                }
            )
        rates = {key: rate / 1e9 for key, rate in self.matrix_rates.items()}
        return {"title": self.title, "configs": configs, "matrix_gflop_per_second": rates}

    def sentences(self) -> list[str]:
        """What the comparison comes to, a line for each config but the first."""
        lines = []
        for own in self.configs[1:]:
            ratio, quartiles = self.ratio(own).text(3)
            spread = f" ({quartiles})" if self.several else ""
            lines.append(f"{own.name} takes {ratio}{spread} of the time of {self.configs[0].name}")
        return lines

    def picture(self) -> Figure:
        """Bars of the medians with their quartiles, ratios beside them, and peak memory if it was measured."""
        figure = style.new_figure(1.6 + 0.55 * len(self.configs))
        measured = [own for own in self.configs if own.peak_mib is not None]
        panels = figure.subplots(1, 2 if measured else 1, sharey=True, squeeze=False)[0]
        rows = range(len(self.configs))
        spreads = [Spread.of(own.seconds) for own in self.configs]
        medians = [spread.median for spread in spreads]
        arms = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]] if self.several else None
        time = "seconds per call, median and quartiles" if self.several else "seconds of one call"
        labels = [("Time", time), ("Peak memory", "MiB")]
        for panel, (title, x) in zip(panels, labels, strict=False):
            style.name_axes(panel, title=title, x=x, y="")
        panels[0].barh(rows, medians, 0.6, xerr=arms, color=style.SKY, ecolor=style.BLACK, capsize=4)
        for row, own, spread in zip(rows, self.configs, spreads, strict=True):
            ratio = f"ratio {self.ratio(own).median:.3f}" if row else ""
            text = f"{spread.median:.4g} s   {ratio}".rstrip()
            panels[0].annotate(text, (spread.high, row), (6, 0), textcoords="offset points", va="center", fontsize=10)
        panels[0].set_yticks(rows, [style.legend_label(style.shortened(o.name, LABEL_LENGTH)) for o in self.configs])
        panels[0].invert_yaxis()
        # Room for what is written at the ends.
        panels[0].set_xlim(0, 1.7 * max(spread.high for spread in spreads))
        if measured:
            panels[1].barh(rows, [own.peak_mib or 0 for own in self.configs], 0.6, color=style.ORANGE)
            for row, own in zip(rows, self.configs, strict=True):
                text = f"{own.peak_mib:,.0f}" if own.peak_mib is not None else "not measured"
                panels[1].annotate(
                    text, (own.peak_mib or 0, row), (6, 0), textcoords="offset points", va="center", fontsize=10
                )
            panels[1].set_xlim(0, 1.25 * max(own.peak_mib or 0 for own in measured))
        figure.suptitle(self.title, fontsize=13, x=0.01, ha="left", parse_math=False)
        return figure


def _text(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"
