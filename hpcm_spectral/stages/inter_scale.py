"""Phase 2: a reward for what the finer scale does not explain (the paper's inter-scale regularization, eq. 6)."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import nn

from hpcm_spectral.codec import ScaleLatent
from hpcm_spectral.errors import SettingError, UserError
from hpcm_spectral.ops.devices import LateReading
from hpcm_spectral.stages.aligner import Aligner, Downsample, Subbands
from hpcm_spectral.stages.base import Numbers, PenaltyStage
from hpcm_spectral.stages.distances import Distance, mean_distance, unexplained

Normalize = Literal["power", "none"]
AlignerRole = Literal["adversarial", "joint", "frozen"]
LatentKind = Literal["exclusive", "inclusive"]
POWERS_OF_TWO = {2**power for power in range(1, 16)}


class InterScaleRegularizer(PenaltyStage):
    """Phase 2 as a stage: ``-delta * distance(z_{l-1}, aligner(z_l))``, summed over pairs of adjacent scales.

    A pair's sides differ by a power of two, which takes as many levels of the wavelet transform.

    .. code-block:: none

        z_l, finer ──► newly coded values ──► DWT ──► 1x1 convolution ──► prediction ─┐
                                                                                      ├─► distance ──► * -delta
        z_{l-1}, coarser ─────────────────────────────────────────────────────────────┘

    With ``normalize="power"`` each channel's mean is left out, and the distance is what the prediction leaves at its
    best gain, as a share of what no prediction would leave: each pair's reward lies within [-delta, 0]
    ([-2 delta, 0] for ``cosine``) whatever the size of the latents, and its gradient is orthogonal to them, so that
    scaling a latent does not pay. The adversarial aligner minimises the distance that the codec
    maximises. The paper's formula as it stands (``normalize="none", aligner="joint"``) has no lower bound.

    Args:
        delta: Weight of the reward, from 0 to 10^6; 0 only measures and leaves the codec's training unchanged.
        start_epoch: Progress in epochs from which the stage acts.
        ramp_epochs: Epochs over which delta rises from 0 to its value.
        end_epoch: Progress from which the stage no longer acts; None: until the end.
        downsample: How the finer latent comes to the coarser one's size: ``dwt`` (the paper), ``strided_conv`` or
            ``average``.
        wavelet: PyWavelets' name of the wavelet of ``dwt``.
        subbands: ``all`` bands of ``dwt`` (the paper) or its low one, ``ll``.
        distance: ``l2`` (the paper: mean square), ``l1`` (mean modulus) or ``cosine``.
        normalize: ``power`` (bounded, see above) or ``none``.
        aligner: ``adversarial`` (minimises the distance), ``joint`` (descends the codec's loss, as the formula
            says) or ``frozen`` (random).
        latents: ``exclusive`` takes from the finer scale only what it newly codes, ``inclusive`` all of its latent.
        pairs: Which pairs to take, 1 being the two coarsest scales; None takes all of these. 0 is the coarsest scale
            and the learned bias that a hierarchy's prior starts from, as the paper also has it: a constant, of which
            nothing is left without each channel's mean, so that there the means stay.
        lr: The aligner's learning rate, above 0; None takes the codec's.
        divergence_limit: Size of the term at which training without normalisation stops.

    Raises:
        ValueError: A value is outside its range.
    """

    phase = "phase2_inter"

    def __init__(
        self,
        delta: float = 0.1,
        start_epoch: float = 0,
        ramp_epochs: float = 0,
        end_epoch: float | None = None,
        *,
        downsample: Downsample = "dwt",
        wavelet: str = "haar",
        subbands: Subbands = "all",
        distance: Distance = "l2",
        normalize: Normalize = "power",
        aligner: AlignerRole = "adversarial",
        latents: LatentKind = "exclusive",
        pairs: Sequence[int] | None = None,
        lr: float | None = 1e-3,
        divergence_limit: float = 1000.0,
    ) -> None:
        _check_number("start_epoch", start_epoch)
        _check_number("end_epoch", end_epoch)
        super().__init__(start_epoch, end_epoch)
        _check_number("delta", delta, most=1e6)
        _check_number("ramp_epochs", ramp_epochs)
        if end_epoch is not None and start_epoch + ramp_epochs >= end_epoch:
            raise SettingError(
                "ramp_epochs",
                f"must end before end_epoch ({end_epoch:g}), got {ramp_epochs:g} from epoch {start_epoch:g} on.",
            )
        for name, value, kind in (
            ("downsample", downsample, Downsample),
            ("subbands", subbands, Subbands),
            ("distance", distance, Distance),
            ("normalize", normalize, Normalize),
            ("aligner", aligner, AlignerRole),
            ("latents", latents, LatentKind),
        ):
            if value not in get_args(kind):
                raise SettingError(name, f"must be one of {', '.join(get_args(kind))}, got {value!r}.")
        if lr is not None and not 0 < lr < math.inf:
            raise SettingError("lr", f"must be a number above 0, or null for the codec's, got {lr}.")
        if not 0 < divergence_limit < math.inf:
            raise SettingError("divergence_limit", f"must be a number above 0, got {divergence_limit}.")
        if pairs is not None and (not pairs or min(pairs) < 0 or len(set(pairs)) != len(pairs)):
            raise SettingError(
                "pairs", f"must list different numbers from 0 on, or be null for all from 1 on, got {list(pairs)}."
            )
        if downsample != "dwt" and (wavelet, subbands) != ("haar", "all"):
            raise SettingError(
                "downsample",
                f"must be dwt for a wavelet and subbands to be chosen, got {downsample}; leave wavelet=haar "
                "subbands=all.",
            )
        if delta == 0 and aligner != "adversarial":
            raise SettingError(
                "aligner", f"must be adversarial to measure with delta 0, got {aligner}, which would not be trained."
            )
        Aligner(1, 1, wavelet=wavelet)
        self.delta = delta
        self.ramp_epochs = ramp_epochs
        self.downsample: Downsample = downsample
        self.wavelet = wavelet
        self.subbands: Subbands = subbands
        self.distance: Distance = distance
        self.normalize: Normalize = normalize
        self.aligner: AlignerRole = aligner
        self.latents: LatentKind = latents
        self.pairs = None if pairs is None else tuple(sorted(pairs))
        self.lr = lr
        self.divergence_limit = divergence_limit
        self.aligners = nn.ModuleDict()
        self._ratios: dict[int, int] = {}
        self._late: LateReading[float] = LateReading()

    @property
    def full_from(self) -> float:
        """The end of the ramp."""
        return self.start_epoch + self.ramp_epochs

    @property
    def remark(self) -> str:
        """That the stage only measures, if so."""
        return "only measures (delta 0)" if self.delta == 0 else ""

    def describe(self) -> dict[str, Any]:
        """Delta, its ramp, and the number of pairs."""
        pairs = len(self.aligners)
        return {"kind": "inter_scale", "delta": self.delta, "ramp_epochs": self.ramp_epochs, "pairs": pairs}

    def prepare(self, latents: Sequence[ScaleLatent]) -> None:
        """Make an aligner for each pair of adjacent latents, which come coarsest first.

        Raises:
            SettingError: ``pairs`` names one that the codec does not have.
            UserError: The codec has one scale only, or two adjacent latents do not fit each other.
        """
        count = len(latents) - 1
        if count < 1 and self.pairs != (0,):
            raise UserError(
                f"{self.phase} needs latents of at least two scales, got {len(latents)}; choose another model or "
                "phase2=off."
            )
        least = 1 if latents[0].prior is None else 0
        for pair in self.pairs or ():
            if not least <= pair <= count:
                raise SettingError("pairs", f"must lie between {least} and {count} for this codec, got {pair}.")
        self.aligners, self._ratios = nn.ModuleDict(), {}
        for pair in self.pairs or range(1, count + 1):
            coarse, fine = self._pair(latents, pair)
            self._ratios[pair] = fine.shape[2] // coarse.shape[2]
            aligner = Aligner(
                fine.shape[1],
                coarse.shape[1],
                levels=self._ratios[pair].bit_length() - 1,
                downsample=self.downsample,
                wavelet=self.wavelet,
                subbands=self.subbands,
            )
            self.aligners[str(pair)] = aligner.requires_grad_(self.aligner != "frozen")

    def weight(self, progress: float) -> float:
        """Delta at ``progress`` epochs, as far as it has risen."""
        since = progress - self.start_epoch
        if since >= self.ramp_epochs:
            return self.delta
        return self.delta * max(0.0, since) / self.ramp_epochs if self.ramp_epochs else 0.0

    def forward(self, latents: Sequence[ScaleLatent], progress: float) -> tuple[Float[torch.Tensor, ""], Numbers]:
        """The reward, at most 0, in float32 (float64 for float64 latents), under autocast too, and what was measured.

        With an adversarial aligner the gradient of the aligner's own loss comes with it; its value does not.

        Returns:
            The term, and by their keys the term's value, delta, and per pair the distance and the explained share:
            ``spectral/explained_1_2`` is the share of the coarser latent's power, each channel's mean apart, that the
            aligner's prediction explains at its best gain; ``spectral/power_1`` the mean square of scale 1's latent.

        Raises:
            UserError: Two adjacent latents do not fit each other, :meth:`prepare` was not called, or the term has
                run away (on a GPU that is said at the next call, so that nobody waits).
        """
        if not self.aligners:
            raise UserError(f"{self.phase} must be prepared with latents of the codec first; call prepare(latents).")
        weight = self.weight(progress)
        measured: dict[str, float | torch.Tensor] = {}
        adversarial, bounded = self.aligner == "adversarial", (self.normalize, self.distance) == ("power", "l1")
        rewards, aligner_losses = [], []
        with torch.autocast(latents[0].y_hat.device.type, enabled=False):
            for key, aligner in self.aligners.items():
                coarse, fine = self._pair(latents, int(key))
                gain = torch.full((), -weight, dtype=coarse.dtype, device=coarse.device)
                if adversarial:
                    # The aligner descends the distance itself; the codec gets of its gradient what it does to the term.
                    coarse, fine = (_Scaled.apply(z, gain) if weight else z.detach() for z in (coarse, fine))
                means_stay = key == "0"
                prediction = aligner(fine)
                distance = self._distance(coarse, prediction, means_stay)
                # Where the aligner is of no use yet, there is nothing for the codec to gain.
                reward = distance.clamp(max=1) if bounded else distance
                if adversarial:
                    aligner_losses.append(distance)
                    if bounded:
                        gain.mul_(distance.detach() <= 1)
                    reward = reward.detach()
                rewards.append(reward)
                pair = f"{key}_{int(key) + 1}"
                measured[f"spectral/distance_{pair}"] = left = distance.detach()
                if (self.normalize, self.distance) != ("power", "l2"):
                    left = unexplained("l2", coarse.detach(), prediction.detach(), means_stay=means_stay)
                measured[f"spectral/explained_{pair}"] = 1 - left
            term = -weight * torch.stack(rewards).sum()
            for number, latent in enumerate(latents, start=1):
                measured[f"spectral/power_{number}"] = latent.y_hat.detach().float().square().mean()
        numbers = {"spectral/inter_scale_reg": term.detach(), "spectral/delta": weight, **measured}
        if self.normalize == "none":
            self._stop_if_diverged(term, latents, progress)
        for loss in aligner_losses:
            term = term + (loss - loss.detach())
        return term, numbers

    def _pair(self, latents: Sequence[ScaleLatent], pair: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The coarser latent, and what the distance takes of the finer one."""
        fine, coarse = latents[pair], latents[pair - 1].y_hat if pair else latents[0].prior
        assert coarse is not None
        if pair == 0:
            return _wide(coarse), _wide(fine.y_hat)
        got = f"{list(coarse.shape)} at scale {pair} and {list(fine.y_hat.shape)} at scale {pair + 1}"
        if coarse.ndim != 4 or fine.y_hat.ndim != 4:
            raise UserError(f"{self.phase} needs latents [batch, channels, height, width], got {got}; reshape them.")
        ratios = {big / small for big, small in zip(fine.y_hat.shape[2:], coarse.shape[2:], strict=True)}
        # An aligner, once there, is for one ratio.
        fitting = {self._ratios[pair]} if pair in self._ratios else POWERS_OF_TWO
        if len(ratios) > 1 or not ratios <= fitting:
            raise UserError(
                f"{self.phase} needs a finer latent whose height and width are the coarser one's times the same power "
                f"of two, 2 or more, got {got}; choose other phase2.pairs, or image sizes that the codec halves "
                "without a remainder."
            )
        return _wide(coarse), _wide(fine.y_hat if self.latents == "inclusive" else fine.y_hat * fine.newly_coded)

    def _distance(self, z: torch.Tensor, prediction: torch.Tensor, means_stay: bool) -> torch.Tensor:
        if self.normalize == "power":
            return unexplained(self.distance, z, prediction, means_stay=means_stay)
        return mean_distance(self.distance, z, prediction)

    def _stop_if_diverged(self, term: torch.Tensor, latents: Sequence[ScaleLatent], progress: float) -> None:
        size = term.detach().abs().nan_to_num(nan=math.inf)
        # Latents that are not finite are not this stage's doing: such a step is skipped and counted.
        sound = torch.stack([torch.isfinite(latent.y_hat).all() for latent in latents]).all()
        size = torch.where(sound, size, 0.0)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # All processes stop together, or the others would wait for the one that did.
            torch.distributed.all_reduce(size, torch.distributed.ReduceOp.MAX)
        for (reached,), when in self._late(size[None], progress):
            if not reached <= self.divergence_limit:
                raise UserError(
                    f"{self.phase} must keep its term within {self.divergence_limit:g} (phase2.divergence_limit), got "
                    f"{-reached:g} at epoch {when:.2f}: nothing holds the reward back without normalisation; raise "
                    "the limit, or start a new run with phase2.normalize=power or a lower phase2.delta."
                )


class _Scaled(torch.autograd.Function):
    """The same values, whose gradient is multiplied by what ``gain`` is at the time of the backward pass."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        ctx.gain = gain
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad_outputs[0] * ctx.gain, None


def _wide(y: torch.Tensor) -> torch.Tensor:
    return y if y.dtype == torch.float64 else y.float()


def _check_number(name: str, value: float | None, most: float = math.inf) -> None:
    if value is not None and (not 0 <= value <= most or value == math.inf):
        up_to = "on" if most == math.inf else f"to {most:g}"
        raise SettingError(name, f"must be a number from 0 {up_to}, got {value}.")
