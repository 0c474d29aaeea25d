"""Carrying out the runs of an editable session, frame by frame, each kept as soon as it is made."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from pullmatte.models.protocol import Entry, Plane, Prediction, VideoModel
from pullmatte.sessions.clip import Frame, FrameSource
from pullmatte.sessions.image import clip_for_model
from pullmatte.sessions.project_store import Facts, ProjectStore, Record
from pullmatte.sessions.recall import Recall
from pullmatte.sessions.runs import Agreement, Run
from pullmatte.sessions.tracking import Plan, find

Locked = Callable[[str], Collection[int]]


@dataclass(frozen=True)
class Step:
    """One frame that was computed.

    Attributes:
        object: Whose.
        frame: Its number.
        source: The prompted frame from which it was reached.
        difference: Sum of the absolute differences from the result before; None without one.
    """

    object: str
    frame: int
    source: int
    difference: float | None


class Execution:
    """Computes runs and puts their results into the project."""

    def __init__(
        self,
        model: VideoModel,
        clip: FrameSource,
        project: ProjectStore,
        plan: Plan,
        agreement: Agreement,
    ) -> None:
        """Take what a run needs; nothing is decoded yet."""
        self._model = model
        self._clip = clip
        self._project = project
        self._plan = plan
        self._agreement = agreement

    def onward(self, run: Run) -> Run | None:
        """Return what is left of a run that was begun; None if nothing is.

        How far it came is told by the results themselves, so that it doesn't matter where the
        process was killed.
        """
        at, streak = run.at, 0
        while (facts := self._facts(run.object, at)).get("run") == run.id:
            at, streak = at + run.step, int(facts.get("streak", 0))
            if run.kind == "find":
                return None
        over = not 0 <= at < len(self._clip)
        if over or (run.kind == "change" and streak >= self._agreement.frames):
            return None
        return replace(run, at=at)

    def steps(self, runs: Sequence[Run], locked: Locked) -> Iterator[Step]:
        """Compute runs of different objects in one direction together: a frame is encoded once.

        Args:
            runs: What `together` picked.
            locked: Object → frames that never change.
        """
        walks = [walk for run in runs if (walk := self._walk(run, locked)) is not None]
        with_frames = _Frames(self._clip)
        try:
            while walks := [w for w in walks if w.stretches and not self._is_barred(w, locked)]:
                index = min((w.next for w in walks), key=lambda at: at * walks[0].run.step)
                frame = with_frames.get(index, reverse=walks[0].run.reverse)
                encoded = self._model.encode(clip_for_model(frame.image))
                for walk in walks:
                    if walk.next == index:
                        yield self._step(walk, encoded)
        finally:
            with_frames.close()

    def _is_barred(self, walk: "_Walk", locked: Locked) -> bool:
        """Whether a walk's next frame was locked, or its alpha given, since it began."""
        name, frame = walk.run.object, walk.next
        given = self._facts(name, frame).get("given", False)
        return frame in locked(name) or (given and (name, frame) not in self._plan.given)

    def _walk(self, run: Run, locked: Locked) -> "_Walk | None":
        """Tell where a run has to go; None if it is done, or a later run has passed over it."""
        left = self.onward(run)
        if left is None or self._facts(run.object, left.at).get("run", 0) > run.id:
            return None
        if left.kind == "find":
            stretches = [(left.at, left.at)]
        elif left.kind == "change":
            stretches = self._until_a_stop(left, locked(run.object))
        else:
            stretches = list(self._gaps(left))
        return _Walk(left, stretches)

    def _until_a_stop(self, run: Run, locked: Collection[int]) -> list[tuple[int, int]]:
        """Go on to the next frame that is prompted or locked."""
        stops = {*self._plan.prompted(run.object), *locked} - {run.source}
        end = -1 if run.reverse else len(self._clip)
        ahead = [stop for stop in stops if (stop - run.at) * run.step >= 0]
        until = min(ahead, key=lambda stop: abs(stop - run.at), default=end) - run.step
        return [(run.at, until)] if (until - run.at) * run.step >= 0 else []

    def _gaps(self, run: Run) -> Iterator[tuple[int, int]]:
        """Find what is still missing of a fill, stretch by stretch."""
        assert run.until is not None, "a fill has an end"
        start = None
        for frame in range(run.at, run.until + run.step, run.step):
            missing = not self._facts(run.object, frame)
            if missing and start is None:
                start = frame
            if not missing and start is not None:
                yield start, frame - run.step
                start = None
        if start is not None:
            yield start, run.until

    def _step(self, walk: "_Walk", encoded: Any) -> Step:
        """Compute a walk's next frame, and move it on."""
        run, frame, plan = walk.run, walk.next, self._plan
        more: Facts = {}
        if run.kind == "find":
            prediction = find(self._model, plan, run.object, frame, encoded)
            more = {"given": True} if (run.object, frame) in plan.given else {}
        else:
            if walk.recall is None:
                walk.recall = self._recall(run, frame)
            prediction = self._track(run, frame, encoded, walk.recall)
        entry = self._model.remember(encoded, prediction)
        if walk.recall is not None:
            prompted = plan.is_prompted(run.object, frame)
            walk.recall.add(frame, entry, prompted=prompted)
        step, streak = self._keep(run, frame, prediction, entry, more)
        walk.move(enough=run.kind == "change" and streak >= self._agreement.frames)
        return step

    def _track(self, run: Run, frame: int, encoded: Any, recall: Recall) -> Prediction:
        name, before = run.object, None
        if self._plan.is_prompted(name, frame):
            before = Record.read(self._project, name, frame)
        return self._model.track(
            encoded,
            recall.memories(frame, reverse=run.reverse),
            frame,
            prompt=self._plan.prompt(name, frame),
            before=before.entry if before is not None and before.entry else None,
            opacity=self._plan.opacity,
        )

    def _keep(
        self, run: Run, frame: int, prediction: Prediction, entry: Entry, more: Facts
    ) -> tuple[Step, int]:
        """Put a result into the project, with what has to be known to go on after it.

        Returns:
            The step, and how many results in a row agree with the old ones by now.
        """
        name = run.object
        before = Record.read(self._project, name, frame)
        record = Record.of(prediction, entry, {"run": run.id, "source": run.source, **more})
        difference, size, streak = None, 0.0, 0
        if before is not None and "run" in before.facts:
            difference, size = _differ(before.prediction.alpha, record.prediction.alpha)
        if frame == run.source:
            # How much the change altered is what later frames are measured by.
            record.facts["change"] = difference
        elif difference is not None:
            change = self._facts(name, run.source).get("change")
            if self._agreement.holds(difference, size, change):
                last = self._facts(name, frame - run.step)
                streak = 1 + (int(last.get("streak", 0)) if last.get("run") == run.id else 0)
            record.facts["streak"] = streak
        record.keep(self._project, name, frame)
        return Step(name, frame, run.source, difference), streak

    def _recall(self, run: Run, at: int) -> Recall:
        """Remember what an uninterrupted run would at this frame."""
        name, plan = run.object, self._plan
        recall, first = Recall(self._model.memory_spans), plan.first(name)
        prompted = plan.prompted(name)
        for frame in prompted:
            record = Record.read(self._project, name, frame) if frame != at else None
            if record is not None and record.entry:
                recall.add(frame, record.entry, prompted=True)
        # Beyond its origin a run has seen nothing; tracking goes on through corrections.
        low = first if run.source >= first else run.source
        high = first if run.source <= first else run.source
        passed = range(at - run.step * recall.reach, at, run.step)
        for frame in passed:
            inside = frame > low if not run.reverse else frame < high
            if inside and frame >= 0 and frame not in prompted:
                record = Record.read(self._project, name, frame)
                if record is not None and record.entry:
                    recall.add(frame, record.entry, prompted=False)
        return recall

    def _facts(self, name: str, frame: int) -> Facts:
        return self._project.facts(name, frame) or {}


def _differ(old: Plane, new: Plane) -> tuple[float, float]:
    """Return the sum of two alphas' absolute differences, and of the larger of both."""
    difference = float(np.abs(old - new).sum(dtype=np.float64))
    return difference, float(np.maximum(old, new).sum(dtype=np.float64))


@dataclass
class _Walk:
    """A run on its way.

    Attributes:
        run: The run.
        stretches: What is still to be computed, first and last frame of each; the walk is over
            when there is none.
        recall: What is remembered; made anew for each stretch.
    """

    run: Run
    stretches: list[tuple[int, int]]
    recall: Recall | None = None

    @property
    def next(self) -> int:
        return self.stretches[0][0]

    def move(self, *, enough: bool) -> None:
        at, until = self.stretches[0]
        if enough:
            self.stretches = []
        elif at == until:
            self.stretches, self.recall = self.stretches[1:], None
        else:
            self.stretches[0] = (at + self.run.step, until)


class _Frames:
    """Frames of a clip one after the other, decoded on as long as none is left out."""

    def __init__(self, clip: FrameSource) -> None:
        self._clip = clip
        self._frames: Generator[Frame, None, None] | None = None
        self._next: int | None = None

    def get(self, index: int, *, reverse: bool) -> Frame:
        if self._frames is None or self._next != index:
            self.close()
            span = (0, index + 1) if reverse else (index, len(self._clip))
            frames = self._clip.frames(*span, reverse=reverse)
            self._frames = cast("Generator[Frame, None, None]", frames)
        self._next = index + (-1 if reverse else 1)
        return next(self._frames)

    def close(self) -> None:
        # A clip that decodes on a thread of its own ends it then.
        if self._frames is not None and hasattr(self._frames, "close"):
            self._frames.close()
        self._frames = None


def together(runs: Sequence[Run]) -> list[Run]:
    """Pick the runs that can go at the same time: each object's next, in one direction.

    Objects don't know of each other, so only an object's own runs have to keep their order.

    Args:
        runs: What is to be done, in order; at least one.
    """
    firsts: dict[str, Run] = {}
    for run in runs:
        firsts.setdefault(run.object, run)
    lead = runs[0]
    return [
        run
        for run in firsts.values()
        if run.reverse == lead.reverse and (run.kind == "find") == (lead.kind == "find")
    ]
