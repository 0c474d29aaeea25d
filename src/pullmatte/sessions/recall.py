"""What a session remembers of one object: every prompted frame, and the few just passed.

The size doesn't grow with the clip. A model says with `VideoModel.memory_spans` how far back it
looks at each array of an entry; what is older is dropped.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullmatte.models.protocol import Entry, Memories

_PROMPTED, _TRACKED = "p", "t"


class Recall:
    """The bounded memory of one object.

    Attributes:
        spans: On how many frames after its own each array of an entry is looked at.
    """

    def __init__(self, spans: Mapping[str, int]) -> None:
        """Begin with nothing."""
        self.spans = dict(spans)
        self._prompted: dict[int, Entry] = {}
        self._tracked: dict[int, Entry] = {}

    @property
    def prompted(self) -> Mapping[int, Entry]:
        """Frame number → entry, of frames on which something was said."""
        return self._prompted

    @property
    def is_empty(self) -> bool:
        """Whether nothing is remembered."""
        return not (self._prompted or self._tracked)

    @property
    def reach(self) -> int:
        """How many tracked frames back anything at all is looked at."""
        return max(self.spans.values(), default=0)

    def add(self, frame: int, entry: Entry, *, prompted: bool) -> None:
        """Remember a frame.

        Args:
            frame: Its number.
            entry: What the model's `remember` gave.
            prompted: Whether something was said on it; it is then remembered for good.
        """
        if prompted:
            self._prompted[frame] = self._within(entry, 1)
            self._tracked.pop(frame, None)
        else:
            self._tracked[frame] = self._within(entry, 1)
            self._tracked = dict(self._near(frame, frame))

    def memories(self, frame: int, *, reverse: bool) -> Memories:
        """Return what the model may look at when it tracks the object on a frame.

        Args:
            frame: The frame's number.
            reverse: Whether the run goes from late frames to early ones.
        """
        prompted = {at: entry for at, entry in self._prompted.items() if at != frame}
        ahead = {
            at: entry
            for at, entry in self._near(frame, None)
            if at != frame and (at > frame) == reverse
        }
        order = sorted(ahead, reverse=reverse)
        return Memories(prompted, {at: ahead[at] for at in order}, reverse)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays, to be saved."""
        kinds = ((_PROMPTED, self._prompted), (_TRACKED, self._tracked))
        return {
            f"{kind}{frame}/{name}": np.asarray(value)
            for kind, entries in kinds
            for frame, entry in entries.items()
            for name, value in entry.items()
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Remember what `arrays` returned."""
        self._prompted, self._tracked = {}, {}
        for path, value in arrays.items():
            place, _, name = path.partition("/")
            kept = self._prompted if place[0] == _PROMPTED else self._tracked
            entry = kept.setdefault(int(place[1:]), {})
            assert isinstance(entry, dict), "made two lines above"
            entry[name] = np.asarray(value)

    def _near(self, frame: int, added: int | None) -> Iterator[tuple[int, Entry]]:
        """Go through what of tracked frames is still looked at from a frame, or after it."""
        for at, entry in self._tracked.items():
            # A frame that was just added is looked at from the next one at the soonest.
            distance = abs(at - frame) + (added is not None)
            left = self._within(entry, distance)
            if left:
                yield at, left

    def _within(self, entry: Entry, distance: int) -> dict[str, Any]:
        return {n: value for n, value in entry.items() if self.spans.get(n, 0) >= distance}
