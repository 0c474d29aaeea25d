"""Several sources as one, each as often as its weight says."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from pullmatte.data.samples import ClipSource, MattingClip, MattingSample, SampleSource
from pullmatte.errors import PullmatteError
from pullmatte.train.draws import numpy_generator

_Source = TypeVar("_Source")


class _Mixed(Generic[_Source]):
    """Chooses for each number one of several sources, and the number to ask it for."""

    def __init__(self, sources: Sequence[tuple[_Source, float]], seed: int = 0) -> None:
        weights = [weight for _, weight in sources]
        if not sources or min(weights) < 0 or sum(weights) <= 0:
            raise PullmatteError(
                f"sources with weights {weights}: give one or more, with weights over 0"
            )
        self._sources = [source for source, _ in sources]
        self._shares = np.array(weights) / sum(weights)
        self._seed = seed

    def _choose(self, number: int) -> tuple[_Source, int]:
        draw = numpy_generator(self._seed, number)
        at = int(draw.choice(len(self._sources), p=self._shares))
        # Drawn, too: a source of n samples, asked for every other number, would show half.
        return self._sources[at], int(draw.integers(2**31))


class MixedSource(_Mixed[SampleSource]):
    """Pictures from several sources, by their weights; repeatable, as any source is."""

    def sample(self, number: int) -> MattingSample:
        """Return the sample of a number."""
        source, at = self._choose(number)
        return source.sample(at)


class MixedClips(_Mixed[ClipSource]):
    """Clips from several sources, by their weights; repeatable, as any source is."""

    def clip(self, number: int) -> MattingClip:
        """Return the clip of a number."""
        source, at = self._choose(number)
        return source.clip(at)
