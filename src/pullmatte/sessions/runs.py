"""What has to be computed after a change: runs from prompted frames, and through gaps.

The rules, for each object:

- Origins (a box, a mask, a trimap, a given alpha; where there is none, the prompt given first) are
  found first, each by itself.
- Backward from the first origin to the start of the clip, with the corrections on the way; forward
  from it to the end, with those on the way.
- A correction on a frame that had a result also runs the other way, since what it corrects began
  somewhere before it.
- Every run ends at the next prompted or locked frame, and where its results agree with the old.
- Frames without a result, because the run that made them lost its prompt, are filled in.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Literal

from pullmatte.sessions.tracking import Plan

Kind = Literal["find", "change", "fill"]


@dataclass(frozen=True)
class Run:
    """A stretch of frames to compute, from one frame in one direction.

    Attributes:
        id: Grows from run to run.
        object: Whose.
        source: The prompted frame from which it goes.
        at: The first frame that it computes.
        reverse: Whether it goes to earlier frames.
        kind: ``"find"`` computes an origin alone; ``"change"`` goes on until its results agree
            with the old; ``"fill"`` goes on to `until`.
        until: The last frame of a fill.
    """

    id: int
    object: str
    source: int
    at: int
    reverse: bool = False
    kind: Kind = "change"
    until: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @property
    def step(self) -> int:
        """From a frame to the next."""
        return -1 if self.reverse else 1


@dataclass(frozen=True)
class Change:
    """A prompt that came, or was replaced.

    Attributes:
        object: Whose.
        frame: Where.
        below: Whether the frame before had a result by then.
        above: Whether the frame after had one.
    """

    object: str
    frame: int
    below: bool = False
    above: bool = False


@dataclass(frozen=True)
class Agreement:
    """When a new result counts as equal to the old one.

    Two alphas agree if they differ by at most `share` of the object, and by at most `rest` of what
    the change altered on its own frame; a difference of at most `nothing` of the object always
    counts as none. The object's size is the sum over all pixels of the larger of both alphas.

    Attributes:
        share: As a share of the object.
        rest: As a share of the change.
        nothing: As a share of the object.
        frames: So many frames in a row have to agree.
    """

    share: float = 0.005
    rest: float = 0.1
    nothing: float = 0.0001
    frames: int = 3

    def holds(self, difference: float, size: float, change: float | None) -> bool:
        """Tell whether two alphas agree.

        Args:
            difference: Sum of absolute differences.
            size: The object's size, in pixels.
            change: Sum of absolute differences on the changed frame; None if it had no result.
        """
        if difference <= self.nothing * size:
            return True
        small = difference <= self.share * size
        return small and (change is None or difference <= self.rest * change)


def plan_runs(
    plan: Plan,
    changes: Collection[Change],
    left: Collection[Run],
    done: Mapping[str, Collection[int]],
    locked: Callable[[str, int], bool],
    frame_count: int,
    first_id: int,
) -> list[Run]:
    """List the runs that changes make necessary, in the order in which they have to go.

    Args:
        plan: All prompts, and the directions that are wanted.
        changes: What came since the last time.
        left: Runs of the last time that aren't over.
        done: Object → frames that have a result.
        locked: Tells whether an object's frame must not change.
        frame_count: Length of the clip.
        first_id: The first run's id.
    """
    ids = count(first_id)
    runs: list[Run] = []
    for name in plan.names:
        prompted = set(plan.prompted(name))
        own = [change for change in changes if change.object == name]
        known = {change.frame for change in own} | set(done.get(name, ()))
        known |= {run.source for run in left if run.object == name}
        own += [Change(name, frame) for frame in prompted - known]
        runs += _runs_of_changes(plan, name, own, frame_count, ids)
        missing = [
            frame
            for frame in range(frame_count)
            if frame not in done.get(name, ()) and frame not in prompted and not locked(name, frame)
        ]
        runs += _fills(plan, name, _stretches(missing), ids)
    return runs


def _runs_of_changes(
    plan: Plan, name: str, changes: Iterable[Change], frame_count: int, ids: Iterator[int]
) -> Iterator[Run]:
    first, by_frame = plan.first(name), {change.frame: change for change in changes}
    changed = sorted(by_frame)
    yield from (Run(next(ids), name, k, k, kind="find") for k in changed if plan.is_origin(name, k))

    def run(frame: int, *, reverse: bool, again: bool = False) -> Iterator[Run]:
        skip = again or plan.is_origin(name, frame)
        at = frame + (-1 if reverse else 1) * skip
        if 0 <= at < frame_count:
            yield Run(next(ids), name, frame, at, reverse)

    if plan.direction == "backward":
        # Of what lies after the last origin nothing is wanted.
        for frame in reversed([k for k in changed if k <= plan.last(name)]):
            yield from run(frame, reverse=True)
        return
    if plan.direction == "both":
        for frame in reversed([k for k in changed if k <= first]):
            yield from run(frame, reverse=True)
    for frame in [k for k in changed if k >= first]:
        yield from run(frame, reverse=False)
    if plan.direction == "both":
        for frame in reversed([k for k in changed if k > first and by_frame[k].below]):
            yield from run(frame, reverse=True, again=True)
    for frame in [k for k in changed if k < first and by_frame[k].above]:
        yield from run(frame, reverse=False, again=plan.direction == "both")


def _stretches(frames: list[int]) -> list[tuple[int, int]]:
    """Join neighbours: ``[1, 2, 5]`` → ``[(1, 2), (5, 5)]``."""
    found: list[tuple[int, int]] = []
    for frame in frames:
        if found and found[-1][1] == frame - 1:
            found[-1] = (found[-1][0], frame)
        else:
            found.append((frame, frame))
    return found


def _fills(
    plan: Plan, name: str, gaps: Iterable[tuple[int, int]], ids: Iterator[int]
) -> Iterator[Run]:
    prompted, first = plan.prompted(name), plan.first(name)
    for low, high in gaps:
        if plan.direction == "forward" and high < first:
            continue
        before = [frame for frame in prompted if first <= frame < low]
        after = [frame for frame in prompted if frame > high]
        if before and plan.direction != "backward":
            yield Run(next(ids), name, before[-1], low, kind="fill", until=high)
        elif after and (high < first if plan.direction == "both" else high < plan.last(name)):
            yield Run(next(ids), name, after[0], high, reverse=True, kind="fill", until=low)


def in_order(
    planned: Collection[Run], left: Collection[Run], done: Callable[[str], Collection[int]]
) -> list[Run]:
    """Put new runs and those that were left over into one order.

    A new run that begins among results goes first: it may pass over where an old one stopped,
    which ends that. One that begins beyond them has to wait for what leads up to it.

    Args:
        planned: New runs.
        left: Old ones, with the frame that each has reached.
        done: Object → frames that have a result.
    """
    if not left:
        return list(planned)

    def is_ready(run: Run) -> bool:
        return run.kind == "change" and run.at - run.step in done(run.object)

    finds = [run for run in (*left, *planned) if run.kind == "find"]
    ready = [run for run in planned if is_ready(run)]
    later = [run for run in planned if run.kind != "find" and not is_ready(run)]
    return [*finds, *ready, *(run for run in left if run.kind != "find"), *later]
