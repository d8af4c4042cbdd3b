"""Training with an exponential moving average of the weights, which is what is validated and exported."""

from lightning.pytorch.callbacks import EMAWeightAveraging

from hpcm_spectral.errors import SettingError


class AveragedWeights(EMAWeightAveraging):
    """Keeps a moving average: ``average = decay * average + (1 - decay) * weights``.

    It takes the codec's place in every validation, in the diagnostics, in checkpoints and so in the exported codec;
    checkpoints keep the weights themselves beside it, so that a resumed run goes on with both.

    Args:
        decay: Within [0, 1); 0.999 averages over some thousand steps.
        update_every_n_steps: Steps from one update to the next, at least 1.
        update_starting_at_step: First step that counts; None: the first one. Until then the average is the beginning.

    Raises:
        SettingError: A value is outside its range.
    """

    def __init__(
        self, decay: float = 0.999, update_every_n_steps: int = 1, update_starting_at_step: int | None = None
    ) -> None:
        if not 0 <= decay < 1:
            raise SettingError("decay", f"must be a number within [0, 1), got {decay}.")
        if update_every_n_steps < 1:
            raise SettingError("update_every_n_steps", f"must be at least 1, got {update_every_n_steps}.")
        # Counters and tables are copied, not averaged.
        super().__init__(
            use_buffers=False,
            decay=decay,
            update_every_n_steps=update_every_n_steps,
            update_starting_at_step=update_starting_at_step,
        )
