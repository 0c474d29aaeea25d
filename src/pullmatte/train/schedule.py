"""The learning rate over a run, as a share of the largest one."""

import math

from pullmatte.train.settings import LoopSettings


def rate_share(step: int, settings: LoopSettings) -> float:
    """Return by what the learning rate is multiplied in a step.

    Args:
        step: 0 for the first.
        settings: How it goes up and down.

    Returns:
        A number in [0, 1].
    """
    done = step / max(1, settings.steps - 1)
    share = 1.0
    if settings.schedule == "cosine":
        high, low = 1.0, settings.final_rate
        share = low + (high - low) * (1 + math.cos(math.pi * min(1.0, done))) / 2
    elif settings.schedule == "exponential":
        share = settings.final_rate**done
    elif settings.schedule == "drops":
        share = settings.drop ** sum(step >= at * settings.steps for at in settings.drops_at)
    if step < settings.warmup:
        grown = step / settings.warmup
        share *= settings.warmup_from + (1 - settings.warmup_from) * grown
    return share
