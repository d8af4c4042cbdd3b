"""Making long, noisy series readable."""

import numpy as np
from jaxtyping import Float

MIN_POINTS = 30
SHARE = 0.02
MAX_WINDOW = 1001
HUGE = 1e6


def smoothing_window(points: int) -> int:
    """How many points a smoothed one averages: about 2 % of them, odd, 1 where there are few.

    Example:
        >>> smoothing_window(1000), smoothing_window(100), smoothing_window(5)
        (21, 3, 1)
    """
    return 1 if points < MIN_POINTS else min(MAX_WINDOW, 2 * max(1, round(points * SHARE / 2)) + 1)


def centred_mean(values: Float[np.ndarray, " N"], window: int) -> Float[np.ndarray, " N"]:
    """Mean of every value and its ``window // 2`` neighbours on either side, of fewer at the ends.

    Example:
        >>> centred_mean(np.array([1.0, 2.0, 6.0, 4.0]), 3).tolist()
        [1.5, 3.0, 4.0, 5.0]
    """
    half = window // 2
    index = np.arange(len(values))
    first, last = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    if np.abs(values).max(initial=0.0) > HUGE:
        # A running sum would lose the small values after a huge one, so each mean is summed by itself.
        sums = np.add.reduceat(np.append(values, 0.0), np.column_stack([first, last]).ravel())[::2]
        return sums / (last - first)
    running = np.concatenate([[0.0], np.cumsum(values)])
    return (running[last] - running[first]) / (last - first)


def thinned(
    x: Float[np.ndarray, " N"], y: Float[np.ndarray, " N"], points: int = 4000
) -> tuple[Float[np.ndarray, " M"], Float[np.ndarray, " M"]]:
    """A series of about ``points`` points whose curve looks the same: lowest and highest of every stretch.

    Args:
        x: Positions, ascending.
        y: Values without NaN.
        points: A shorter series is returned as it is.
    """
    if len(x) <= points:
        return x, y
    keep = [0, len(x) - 1]
    for stretch in np.array_split(np.arange(len(x)), points // 2):
        keep += [stretch[np.argmin(y[stretch])], stretch[np.argmax(y[stretch])]]
    kept = np.unique(keep)
    return x[kept], y[kept]
