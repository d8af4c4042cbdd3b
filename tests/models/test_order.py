"""The coding order against the specification's text, worked out here with boolean masks and plain loops."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import numpy as np
import pytest
import torch
from tiny_codec import random_tiny

from hpcm_spectral.entropy import GeneralizedGaussianConditional
from hpcm_spectral.models import HPCM_Tiny
from hpcm_spectral.models.hpcm.order import (
    CODING_STEPS,
    SCALES,
    assemble,
    fold,
    group_index,
    shift_to_published,
    to_coarser,
    to_finer,
    unfold_into,
)

CPU = torch.device("cpu")
A, B, C, D = (0, 0), (0, 1), (1, 0), (1, 1)
PATTERNS = [
    {(0, 0), (2, 2)},
    {(0, 2), (2, 0)},
    {(1, 1), (3, 3)},
    {(1, 3), (3, 1)},
    {(0, 1), (2, 3)},
    {(0, 3), (2, 1)},
    {(1, 0), (3, 2)},
    {(1, 2), (3, 0)},
]
SCALE_1_STEPS = [[{A, D}, {B, C}], [{B, C}, {A, D}]]
SCALE_2_STEPS = [[A, B, C, D], [D, C, B, A], [C, D, A, B], [B, A, D, C]]
SCALE_3_STEPS = [
    "02461357",
    "13570246",
    "24603571",
    "35712460",
    "46025713",
    "57134602",
    "60247135",
    "71356024",
]
# Phases of a 2x2 cell: which full-size values scale 2 is made of, and which scale-2 values scale 1.
SCALE_2_SOURCE = [(0, 0), (1, 1), (0, 1), (1, 0)] * 2
SCALE_1_SOURCE = [A, B, C, D]


def mask_of(channels: int, height: int, width: int, cell: int, positions_of_group: list[set]) -> np.ndarray:
    """True where a group's positions within the cell lie; groups are consecutive channels."""
    mask = np.zeros((channels, height, width), dtype=bool)
    size = channels // len(positions_of_group)
    for group, positions in enumerate(positions_of_group):
        for row in range(height):
            for column in range(width):
                if (row % cell, column % cell) in positions:
                    mask[group * size : (group + 1) * size, row, column] = True
    return mask


def masks_of_scale_1(channels: int, height: int, width: int) -> list[np.ndarray]:
    return [mask_of(channels, height, width, 2, step) for step in SCALE_1_STEPS]


def masks_of_scale_2(channels: int, height: int, width: int) -> list[np.ndarray]:
    return [mask_of(channels, height, width, 2, [{phase} for phase in step]) for step in SCALE_2_STEPS]


def masks_of_scale_3(channels: int, height: int, width: int) -> list[np.ndarray]:
    steps = [[PATTERNS[int(digit)] for digit in step] for step in SCALE_3_STEPS]
    return [mask_of(channels, height, width, 4, step) for step in steps]


def polyphase(x: np.ndarray, sources: list[tuple[int, int]]) -> np.ndarray:
    groups = np.split(x, len(sources))
    return np.concatenate([group[:, r::2, c::2] for group, (r, c) in zip(groups, sources, strict=True)])


def step_of_every_value(channels: int, height: int, width: int) -> np.ndarray:
    """Number 0..10 of the step that codes each value of y; asserts that there is exactly one."""
    number = np.arange(channels * height * width).reshape(channels, height, width)
    scale_2 = polyphase(number, SCALE_2_SOURCE)
    scale_1 = polyphase(scale_2, SCALE_1_SOURCE)
    step_of = np.full(number.size, -1)

    def code(step: int, values: np.ndarray) -> None:
        assert (step_of[values] == -1).all(), "coded twice"
        step_of[values] = step

    for step, mask in enumerate(masks_of_scale_1(*scale_1.shape)):
        code(step, scale_1[mask])
    inherited, *coded = masks_of_scale_2(*scale_2.shape)
    assert set(scale_2[inherited]) == set(scale_1.flat)
    for step, mask in enumerate(coded, start=2):
        code(step, scale_2[mask])
    first, second, *coded = masks_of_scale_3(*number.shape)
    assert set(number[first | second]) == set(scale_2.flat)
    for step, mask in enumerate(coded, start=5):
        code(step, number[mask])
    assert (step_of >= 0).all(), "never coded"
    return step_of.reshape(number.shape)


class Recorder:
    """Codes nothing and keeps the values it was given."""

    def __init__(self) -> None:
        self.values: list[torch.Tensor] = []

    def code(
        self, y: torch.Tensor | None, scales: torch.Tensor, means: torch.Tensor, inside: torch.Tensor | None = None
    ) -> torch.Tensor:
        assert y is not None
        assert y.shape == scales.shape == means.shape
        self.values.append(y)
        return y


@pytest.fixture(scope="module")
def numbered() -> tuple[Recorder, list]:
    """A traversal over a y of which every value is its own number."""
    y = torch.arange(40 * 16 * 32, dtype=torch.float32).reshape(1, 40, 16, 32)
    recorder = Recorder()
    with torch.no_grad():
        latents = HPCM_Tiny().context(torch.zeros(1, 80, 16, 32), recorder, y)
    return recorder, latents


class TestTraversal:
    def test_every_value_is_coded_once_in_its_step(self, numbered: tuple[Recorder, list]) -> None:
        recorder, _ = numbered
        expected = step_of_every_value(40, 16, 32)

        assert len(recorder.values) == 11
        for step, values in enumerate(recorder.values):
            assert sorted(values.flatten().int().tolist()) == np.flatnonzero(expected == step).tolist()

    def test_symbols_fold_into_a_groups_channels(self, numbered: tuple[Recorder, list]) -> None:
        recorder, _ = numbered

        shapes = [tuple(values.shape[1:]) for values in recorder.values]

        assert shapes == [(20, 4, 8)] * 2 + [(10, 8, 16)] * 3 + [(5, 16, 32)] * 6

    def test_each_scale_holds_all_values_coded_so_far_at_their_places(self, numbered: tuple[Recorder, list]) -> None:
        _, (first, second, third) = numbered
        number = np.arange(40 * 16 * 32).reshape(40, 16, 32)
        scale_2 = polyphase(number, SCALE_2_SOURCE)

        assert np.array_equal(third.y_hat[0].int(), number)
        assert np.array_equal(second.y_hat[0].int(), scale_2)
        assert np.array_equal(first.y_hat[0].int(), polyphase(scale_2, SCALE_1_SOURCE))

    def test_newly_coded_is_what_the_coarser_scale_did_not_code(self, numbered: tuple[Recorder, list]) -> None:
        _, latents = numbered
        first, second, third = (latent.newly_coded[0].numpy() for latent in latents)

        assert first.all()
        assert first.shape == (40, 4, 8)
        assert np.array_equal(second, ~masks_of_scale_2(40, 8, 16)[0])
        inherited, also_inherited, *_ = masks_of_scale_3(40, 16, 32)
        assert np.array_equal(third, ~(inherited | also_inherited))


class TestTables:
    def test_the_brute_force_order_is_a_partition(self) -> None:
        counts = np.bincount(step_of_every_value(40, 16, 16).flatten())

        # C h w / 16 values of scale 1 in two steps, 3/4 of four times that in three, then 3/4 of the rest in six.
        assert counts.tolist() == [320] * 2 + [640] * 3 + [1280] * 6

    def test_steps(self) -> None:
        assert [step.scale for step in CODING_STEPS] == [0] * 2 + [1] * 3 + [2] * 6
        assert [step.index for step in CODING_STEPS] == [None, *range(10)]
        assert [i for i, step in enumerate(CODING_STEPS) if step.enters_scale] == [0, 2, 5]

    @pytest.mark.parametrize("step", range(11))
    def test_fold_and_unfold_are_inverse(self, step: int) -> None:
        coding = CODING_STEPS[step]
        scale = SCALES[coding.scale]
        masks = (
            *masks_of_scale_1(16, 8, 12),
            *masks_of_scale_2(16, 8, 12)[1:],
            *masks_of_scale_3(16, 8, 12)[2:],
        )
        mask = torch.from_numpy(masks[step])
        index = group_index(coding.cell, 8, 12, CPU)
        x, other = torch.randn(2, 16, 8, 12), torch.randn(2, 16, 8, 12)

        folded = fold(x, scale.groups, index)
        unfolded = unfold_into(other, folded, scale.groups, index)

        assert folded.shape == (2, 16 // scale.groups, 8, 12)
        assert torch.equal(unfolded, torch.where(mask, x, other))
        assert torch.equal(fold(unfolded, scale.groups, index), folded)

    def test_ways_between_scales(self) -> None:
        x, into = torch.randn(2, 40, 8, 12), torch.randn(2, 40, 8, 12)
        for scale, sources in ((SCALES[2], SCALE_2_SOURCE), (SCALES[1], SCALE_1_SOURCE)):
            coarse = to_coarser(x, scale)

            assert np.array_equal(coarse[1].numpy(), polyphase(x[1].numpy(), sources))
            inherited = torch.from_numpy(mask_of(40, 8, 12, 2, [{source} for source in sources]))
            before = into.clone()
            assert torch.equal(to_finer(coarse, into, scale), torch.where(inherited, x, into))
            assert torch.equal(into, before), "the tensor that was handed in stays as it was"

    def test_assemble_puts_every_value_back(self, numbered: tuple[Recorder, list]) -> None:
        recorder, _ = numbered

        assembled = assemble([values + 0.5 for values in recorder.values], fill=-1.0)

        assert torch.equal(assembled.flatten(), torch.arange(40 * 16 * 32) + 0.5)


class TestPublishedHyperPrior:
    """The published model's misplaced hyper prior of scale 2, from the specification's text."""

    # Phase of the full-size 4x4 cell that each group of an eighth of the channels leaves out.
    LEFT_OUT = ((0, 0), (1, 1), (0, 1), (1, 0), (0, 2), (1, 3), (0, 3), (1, 2))

    def by_masks(self, full: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scale-2 slice with what the published model adds at the free positions, and those positions."""
        channels, height, width = full.shape
        free = ~masks_of_scale_2(channels, height // 2, width // 2)[0]
        result = np.zeros((channels, height // 2, width // 2), dtype=full.dtype)
        for channel in range(channels):
            j = channel // (channels // 8)
            selected = [
                full[channel, row, column]
                for row in range(height)
                for column in range(width)
                if (row % 2, column % 2) == SCALE_2_SOURCE[j] and (row % 4, column % 4) != self.LEFT_OUT[j]
            ]
            result[channel][free[channel]] = selected
        return result, free

    @pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 16), (16, 48), (32, 16)])
    def test_agrees_with_boolean_masks(self, height: int, width: int) -> None:
        full = np.random.default_rng(0).standard_normal((40, height, width)).astype(np.float32)
        expected, free = self.by_masks(full)

        shifted = shift_to_published(to_coarser(torch.from_numpy(full)[None], SCALES[2]), SCALES[1])[0].numpy()

        assert np.array_equal(shifted[free], expected[free])

    def test_differs_from_the_aligned_slice_in_groups_2_to_7_only(self) -> None:
        full = torch.randn(1, 40, 32, 32, generator=torch.Generator().manual_seed(0))
        aligned = to_coarser(full, SCALES[2])[0]
        free = torch.from_numpy(~masks_of_scale_2(40, 16, 16)[0])

        shifted = shift_to_published(aligned[None], SCALES[1])[0]

        differs = ((aligned != shifted) & free).float().flatten(1).mean(1)  # per channel
        assert differs[:10].max() == 0
        assert differs[10:].min() == 0.25
        assert differs[10:].max() == pytest.approx(0.72, abs=0.002)

    def test_the_models_order_matters_at_scale_2_and_not_before(self) -> None:
        y, prior = torch.randn(1, 40, 16, 16) * 4, torch.randn(1, 80, 16, 16)
        published = random_tiny()
        aligned = random_tiny(hyper_prior_order="aligned")
        runs = []
        for model in (published, aligned):
            coder = PriorRecorder()
            with torch.no_grad():
                model.context(prior, coder, y)
            runs.append(coder)

        for step in (0, 1):
            assert torch.equal(runs[0].scales[step], runs[1].scales[step])
        assert not torch.allclose(runs[0].scales[2], runs[1].scales[2])


class PriorRecorder:
    """Rounds as an encoder does; keeps the priors and symbols of every step."""

    def __init__(self) -> None:
        self.scales: list[torch.Tensor] = []
        self.means: list[torch.Tensor] = []
        self.symbols: list[torch.Tensor] = []

    def code(
        self, y: torch.Tensor | None, scales: torch.Tensor, means: torch.Tensor, inside: torch.Tensor | None = None
    ) -> torch.Tensor:
        assert y is not None
        self.scales.append(scales)
        self.means.append(means)
        self.symbols.append(torch.round(y - means))
        return self.symbols[-1] + means


class Replayer:
    """A decoder: gets symbols and priors, never y."""

    def __init__(self, symbols: list[torch.Tensor]) -> None:
        self.symbols = iter(symbols)

    def code(
        self,
        y: torch.Tensor | None,
        scales: torch.Tensor,
        means: torch.Tensor,
        inside: torch.Tensor | None = None,
    ) -> torch.Tensor:
        assert y is None
        return next(self.symbols) + means


@pytest.mark.parametrize(
    "arguments",
    [{}, {"cross_attention": False}, {"hyper_prior_order": "aligned"}],
    ids=["full", "phi", "aligned"],
)
class TestCausality:
    def case(self) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(7)
        return (
            torch.randn(1, 80, 16, 16, generator=generator),
            torch.randn(1, 40, 16, 16, generator=generator) * 4,
        )

    def test_a_decoder_reproduces_y_hat_from_the_symbols(self, arguments: dict) -> None:
        prior, y = self.case()
        context = random_tiny(**arguments).context.eval()
        encoder = PriorRecorder()
        with torch.no_grad():
            encoded = context(prior, encoder, y)
            decoded = context(prior, Replayer(encoder.symbols))

        assert any(symbols.abs().max() > 3 for symbols in encoder.symbols)
        for a, b in zip(encoded, decoded, strict=True):
            assert torch.equal(a.y_hat, b.y_hat)
        assert (encoded[-1].y_hat - y).abs().max() <= 0.5 + 1e-5

    def test_a_value_influences_later_priors_only(self, arguments: dict) -> None:
        prior, y = self.case()
        context = random_tiny(**arguments).context.eval()
        step_of = torch.from_numpy(step_of_every_value(40, 16, 16))
        with torch.no_grad():
            plain = PriorRecorder()
            before = context(prior, plain, y)[-1].y_hat
            for changed in range(11):
                recorder = PriorRecorder()
                after = context(prior, recorder, torch.where(step_of == changed, y + 5, y))[-1].y_hat

                for step in range(changed + 1):
                    assert torch.equal(recorder.scales[step], plain.scales[step])
                    assert torch.equal(recorder.means[step], plain.means[step])
                assert torch.equal(after[0][step_of < changed], before[0][step_of < changed])
                assert torch.allclose(after[0][step_of == changed], before[0][step_of == changed] + 5, atol=1e-4)
                for step in range(changed + 1, 11):
                    assert not torch.allclose(recorder.means[step], plain.means[step]), "it is used, though"


def test_likelihoods_of_a_coder_belong_to_the_priors_it_was_given() -> None:
    """The codec's y likelihoods, put together again from recorded priors and symbols."""
    model = random_tiny().eval()
    x = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = model(x)
        y = model.g_a(x)
        z = model.h_a(y)
        recorder = PriorRecorder()
        model.context(model.h_s(torch.round(z - model.means_hyper) + model.means_hyper), recorder, y)
        family = GeneralizedGaussianConditional()
        expected = [family.likelihood(v, s) for v, s in zip(recorder.symbols, recorder.scales, strict=True)]

    step_of = torch.from_numpy(step_of_every_value(40, 16, 16))
    for step, likelihoods in enumerate(expected):
        assert torch.equal(
            output["likelihoods"]["y"][0][step_of == step].sort().values, likelihoods.flatten().sort().values
        )
