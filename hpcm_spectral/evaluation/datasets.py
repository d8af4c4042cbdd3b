"""The images that a codec is evaluated on: a folder, or a set that published curves exist for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from hpcm_spectral.data import OnError, check_image, list_images
from hpcm_spectral.data.dataset import screen
from hpcm_spectral.data.decode import MAX_MEGAPIXELS
from hpcm_spectral.data.profiles import profile_notes
from hpcm_spectral.errors import DataError
from hpcm_spectral.names import printable


@dataclass(frozen=True)
class NamedSet:
    """A set of images that results are published for.

    Attributes:
        name: Its name in settings, and of its folder.
        title: Its name for people.
        count: How many images it has.
        sides: Longer and shorter side of every image; None: they vary.
        content: What its folder holds.
        source: Where to get it.
        file_names: What the name of every file matches; None: the names say nothing.
    """

    name: str
    title: str
    count: int
    sides: tuple[int, int] | None
    content: str
    source: str
    file_names: str | None

    def difference(self, sizes: Sequence[tuple[int, ...]]) -> str | None:
        """What keeps images of these sizes (height, width) from being the set; None if nothing does."""
        if len(sizes) != self.count:
            return f"{len(sizes)} readable images"
        for height, width in sizes:
            if self.sides is not None and (max(height, width), min(height, width)) != self.sides:
                return f"an image of {width}x{height} pixels"
        return None

    def recognises(self, paths: Sequence[Path], sizes: Sequence[tuple[int, ...]]) -> bool:
        """Whether the files are the set by number, sizes and distinctive names."""
        names = {path.name for path in paths}
        distinct = len(names) == self.count and self.difference(sizes) is None
        return distinct and self.file_names is not None and all(re.fullmatch(self.file_names, n) for n in names)


KODAK = NamedSet(
    name="kodak",
    title="Kodak",
    count=24,
    sides=(768, 512),
    content="kodim01.png to kodim24.png, 768x512 or 512x768 pixels",
    source="https://r0k.us/graphics/kodak/",
    file_names=r"kodim(0[1-9]|1\d|2[0-4])\.png",
)
CLIC_PRO_VALID = NamedSet(
    name="clic_pro_valid",
    title="CLIC professional validation",
    count=41,
    sides=None,
    content="the 41 PNG files of professional_valid_2020.zip",
    source="https://data.vision.ee.ethz.ch/cvl/clic/professional_valid_2020.zip",
    file_names=None,
)
TECNICK = NamedSet(
    name="tecnick",
    title="Tecnick",
    count=100,
    sides=(1200, 1200),
    content="the 100 PNG files of RGB/RGB_OR_1200x1200 of TESTIMAGES",
    source="https://testimages.org/",
    file_names=r"RGB_OR_1200x1200_\d{3}\.png",
)
NAMED_SETS: Mapping[str, NamedSet] = {named.name: named for named in (KODAK, CLIC_PRO_VALID, TECNICK)}


@dataclass(frozen=True)
class EvaluationImages:
    """Readable images.

    Attributes:
        folder: Where they lie.
        paths: The files, sorted.
        skipped: How many images below the folder cannot be read, or not be scored.
        named: The set that they are, if they are one.
        max_megapixels: What the largest may have, in millions of pixels.
        notes: What was done to them, such as a conversion of colours.
    """

    folder: Path
    paths: tuple[Path, ...]
    skipped: int
    named: NamedSet | None
    max_megapixels: int = MAX_MEGAPIXELS
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """One name per image, for people: its path within the folder."""
        return [printable(path.as_posix()) for path in self.relative]

    @property
    def relative(self) -> list[Path]:
        """The files' paths within the folder."""
        return [path.relative_to(self.folder) for path in self.paths]

    @property
    def title(self) -> str:
        """What to call them."""
        return printable(self.folder.resolve().name) if self.named is None else self.named.title


def find_images(
    images: str, datasets: Path, on_error: OnError = "skip", max_megapixels: int = MAX_MEGAPIXELS
) -> EvaluationImages:
    """Find the images and decode each once, so that none fails in the middle of an evaluation.

    Args:
        images: ``kodak``, ``clic_pro_valid``, ``tecnick``, or a folder.
        datasets: Holds a folder of that name for each named set.
        on_error: ``skip`` leaves out undecodable files and names them in logged warnings; ``raise`` stops.
        max_megapixels: Larger images, in millions of pixels, are undecodable.

    Raises:
        DataError: There is no such folder or no readable image in it, or it is not the named set.
    """
    named = NAMED_SETS.get(images)
    if named is None:
        folder = Path(images).expanduser()
        if not folder.exists():
            raise DataError(
                f"images must name a folder or one of {', '.join(NAMED_SETS)}, but there is no {folder}; check it."
            )
    else:
        folder = datasets / named.name
        if not folder.is_dir():
            raise DataError(
                f"images={named.name} needs a folder {folder} with {named.content}, but there is none; get them from "
                f"{named.source}, or set datasets to the folder around yours."
            )
    files = list_images(folder)
    bar = tqdm(files, desc="reading", unit="image", disable=None, leave=False)
    readable = screen(bar, partial(check_image, max_megapixels=max_megapixels), on_error)
    if not readable:
        raise DataError(f"Evaluation needs at least one image, but none of the {len(files)} in {folder} is readable.")
    paths, sizes = tuple(path for path, _ in readable), [(head.height, head.width) for _, head in readable]
    if named is not None and (difference := named.difference(sizes)):
        raise DataError(
            f"{folder} must hold {named.content}, but has {difference}; get them from {named.source}, or give the "
            f"folder itself to evaluate it as it is: images={folder}."
        )
    if named is None:
        named = next((known for known in NAMED_SETS.values() if known.recognises(paths, sizes)), None)
    notes = tuple(profile_notes(head.profile for _, head in readable))
    return EvaluationImages(folder, paths, len(files) - len(readable), named, max_megapixels, notes)
