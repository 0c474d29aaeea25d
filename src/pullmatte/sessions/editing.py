"""A session on one clip that keeps its results, so that they can be corrected.

Every result lies in a project store as soon as it is made. A correction has computed again only
what it touches; locked frames never change; a session that was closed, or killed, goes on where it
was, to the same result. `pullmatte.sessions.runs` states the rules.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from pullmatte.errors import PromptError
from pullmatte.models.protocol import Opacity, VideoModel
from pullmatte.prompts import DEFAULT_OBJECT, Box, FramePrompt, Mask, Prompt, PromptFile, Trimap
from pullmatte.sessions.clip import FrameSource
from pullmatte.sessions.edit_state import EditState, GivenInStore
from pullmatte.sessions.execution import Execution, Step, together
from pullmatte.sessions.finishing import Finish, Finisher, finish_frame
from pullmatte.sessions.image import or_whole_frame
from pullmatte.sessions.project_store import MemoryProject, ProjectStore, Record
from pullmatte.sessions.runs import Agreement, Run, in_order, plan_runs
from pullmatte.sessions.tracking import Direction, Plan, as_prediction
from pullmatte.sessions.video import FrameMattes, absent, as_given_alpha, check_place

__all__ = ["Agreement", "EditSession", "MemoryProject", "Step"]


@dataclass(frozen=True)
class EditOptions:
    """How an editable session works.

    Attributes:
        finish: How mattes are finished when they are handed out.
        opacity: Whether the objects are opaque, transparent, or to be found out.
        agreement: When a new result counts as equal to the old one.
        label: Model and settings; a project made with others isn't gone on with.
    """

    finish: Finish = field(default_factory=Finish)
    opacity: Opacity = "auto"
    agreement: Agreement = field(default_factory=Agreement)
    label: str = ""


class EditSession:
    """One clip with its prompts and its results."""

    def __init__(
        self,
        model: VideoModel,
        clip: FrameSource,
        project: ProjectStore | None = None,
        options: EditOptions | None = None,
    ) -> None:
        """Open a project, or begin one.

        Args:
            model: Any that tracks.
            clip: The clip; nothing of it is decoded yet.
            project: Where results are kept; in memory unless given.
            options: How it works.

        Raises:
            PromptError: If the project belongs to another clip, model or setting.
            ReadError: If it is damaged.
        """
        self.clip = clip
        self.options = options or EditOptions()
        self._model = model
        self._project = MemoryProject() if project is None else project
        self._state = EditState.open(
            self._project,
            size=clip.size,
            frame_count=len(clip),
            label=self.options.label,
            opacity=self.options.opacity,
        )

    @property
    def prompts(self) -> PromptFile:
        """All prompts, as they would be saved; given alphas aren't among them."""
        return self._state.prompts

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects, in the order of their first prompt."""
        return self._state.names

    def prompt(
        self,
        *,
        frame: int = 0,
        object: str = DEFAULT_OBJECT,  # noqa: A002 - the public API's word
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: "Box | tuple[float, float, float, float] | ArrayLike | None" = None,
        mask: "Mask | ArrayLike | None" = None,
        trimap: "Trimap | ArrayLike | None" = None,
    ) -> None:
        """Say something about an object on a frame. Without any part: the whole frame is its box.

        Args:
            frame: Frame number, from 0.
            object: Name of the object.
            points: `N 2` pairs (x, y) in pixels, or `Point` objects.
            labels: `N` values 1 (include) or 0 (exclude); all 1 when left out.
            box: ``x0, y0, x1, y1`` in pixels.
            mask: `H W` rough mask.
            trimap: `H W` in {0, 0.5, 1}.

        Raises:
            PromptError: If it doesn't fit the clip, or the frame is locked.
        """
        said = Prompt.of(points=points, labels=labels, box=box, mask=mask, trimap=trimap)
        said = or_whole_frame(said, *self.clip.size)
        self.add(PromptFile((FramePrompt(said, object, frame),)))

    def add(self, prompts: PromptFile) -> None:
        """Add all prompts of a file.

        Raises:
            PromptError: If one doesn't fit the clip, or is for a locked frame; then none is added.
        """
        prompts.check(*self.clip.size, frame_count=len(self.clip))
        self._replace(PromptFile((*self._state.prompts.prompts, *prompts.prompts)))

    def set_prompts(self, prompts: PromptFile) -> None:
        """Put these prompts in place of all that were given; what is the same stays computed.

        Raises:
            PromptError: If one doesn't fit the clip, or a changed one is for a locked frame; then
                nothing is changed.
        """
        prompts.check(*self.clip.size, frame_count=len(self.clip))
        self._replace(prompts)

    def remove(self, frame: int, object: str = DEFAULT_OBJECT) -> None:  # noqa: A002
        """Take back all that was said about an object on a frame, or its given alpha.

        What was propagated from there is made anew from other prompts; without any, the object is
        gone.

        Raises:
            PromptError: If nothing was said there, or the frame is locked.
        """
        if (object, frame) in self._state.given:
            self._refuse_locked(object, frame)
            self._state.given.discard((object, frame))
            self._forget(object, frame)
            self._save()
            return
        left = [p for p in self.prompts.prompts if (p.object, p.frame) != (object, frame)]
        if len(left) == len(self.prompts.prompts):
            raise PromptError(f"nothing was said about {object!r} on frame {frame}")
        self._replace(PromptFile(tuple(left)))

    def give(self, alpha: ArrayLike, *, frame: int = 0, object: str = DEFAULT_OBJECT) -> None:  # noqa: A002
        """Give an object's alpha on a frame, yours or another model's; it stands as it is.

        The object is tracked from there as from a prompt.

        Args:
            alpha: `H W` in [0, 1], of the clip's size.
            frame: Frame number, from 0.
            object: Name of the object.

        Raises:
            PromptError: If it doesn't fit the clip, or the frame is locked.

        Source: Matting Anything 2, section 4.3 and table 3.
        """
        check_place(object, frame, len(self.clip))
        plane = as_given_alpha(alpha, self.clip.size)
        before = Record.read(self._project, object, frame)
        same = before is not None and np.array_equal(before.prediction.alpha, plane)
        if same and (object, frame) in self._state.given:
            return
        self._refuse_locked(object, frame)
        self._state.changed(object, frame, self._project.frames(object))
        # The record goes last: killed in between, the change is computed from the old one.
        self._state.given.add((object, frame))
        self._save()
        record = Record.of(as_prediction(plane), {}, {"given": True})
        record.keep(self._project, object, frame)

    def lock(self, frames: int | Collection[int], object: str | None = None) -> None:  # noqa: A002
        """Let results never change again, whatever is computed; they may end a run.

        Args:
            frames: One frame or several.
            object: Name of the object; all objects unless given.

        Raises:
            PromptError: If there is no result to lock.
        """
        wanted = {frames} if isinstance(frames, int) else set(frames)
        if not self.objects:
            raise PromptError("nothing was said yet, so no object has a result to lock")
        for name in self._named(object):
            missing = wanted - self._project.frames(name)
            if missing:
                raise PromptError(
                    f"{name!r} has no result on frame {min(missing)} yet: propagate first"
                )
        for name in self._named(object):
            self._state.locks[name] = self._state.locks.get(name, set()) | wanted
        self._save()

    def unlock(self, frames: int | Collection[int], object: str | None = None) -> None:  # noqa: A002
        """Let results change again."""
        wanted = {frames} if isinstance(frames, int) else set(frames)
        for name in self._named(object):
            self._state.locks[name] = self._state.locks.get(name, set()) - wanted
        self._save()

    def locked(self, object: str = DEFAULT_OBJECT) -> set[int]:  # noqa: A002
        """Return an object's locked frames."""
        return set(self._state.locks.get(object, ()))

    def done(self, object: str = DEFAULT_OBJECT) -> set[int]:  # noqa: A002
        """Return the frames on which an object has a result."""
        return self._project.frames(object)

    def is_current(self, direction: Direction = "both") -> bool:
        """Whether there is nothing left to compute."""
        return bool(self._state.names) and not (self._state.runs or self._planned(direction))

    def is_due(self, frame: int, object: str = DEFAULT_OBJECT) -> bool:  # noqa: A002
        """Whether what was said about an object on a frame is still to be computed."""
        if frame not in self.done(object):
            return any((p.object, p.frame) == (object, frame) for p in self.prompts.prompts)
        if any((c.object, c.frame) == (object, frame) for c in self._state.changes):
            return True
        made = (self._project.facts(object, frame) or {}).get("run", 0)
        begun = (run for run in self._state.runs if (run.object, run.at) == (object, frame))
        return any(run.source == frame and run.id > made for run in begun)

    def update(self, direction: Direction = "both") -> Iterator[Step]:
        """Compute what prompts have changed since the last time, and nothing else.

        It may be left at any point, and more be said: the next call goes on with both.

        Args:
            direction: ``"both"`` tracks forward from each object's first origin and backward
                before it; ``"forward"`` leaves the frames before it empty, ``"backward"`` those
                after the last.

        Yields:
            Each frame that was computed, in the order in which it was.

        Raises:
            PromptError: If there is no prompt at all.
            ReadError: If a frame can't be read, or the project is damaged.
        """
        plan = self._plan(direction)
        execution = Execution(self._model, self.clip, self._project, plan, self.options.agreement)
        planned = self._planned(direction)
        left = [execution.onward(run) for run in self._state.runs]
        self._state.begin(in_order(planned, [run for run in left if run is not None], self.done))
        self._save()
        while self._state.runs:
            runs = together(self._state.runs)
            yield from execution.steps(runs, self.locked)
            self._state.runs = [run for run in self._state.runs if run not in runs]
            self._save()

    def propagate(self, direction: Direction = "both") -> Iterator[FrameMattes]:
        """Compute what is to be computed, then hand out every frame of the clip, in order."""
        for _ in self.update(direction):
            pass
        yield from self.frames()

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[FrameMattes]:
        """Hand out frames with the results that there are; nothing is computed.

        Args:
            start: The first frame.
            stop: The frame after the last; the clip's end unless given.

        Yields:
            Each frame with the mattes of all objects, alpha 0 where there is no result.
        """
        finish = self.options.finish
        finishers = {name: Finisher(finish) for name in self.objects}
        for frame in self.clip.frames(start, stop):
            predictions = {}
            for name in self.objects:
                record = Record.read(self._project, name, frame.index)
                predictions[name] = absent(frame.image) if record is None else record.prediction
            held = {name: self._is_fixed(name, frame.index) for name in self.objects}
            mattes = finish_frame(
                finish, finishers, frame.image, predictions, held_out=frame.alpha, hold=held
            )
            yield FrameMattes(frame.index, frame.time_s, frame.image, mattes, frame.alpha)

    def frame(self, index: int) -> FrameMattes:
        """Hand out one frame with the results that there are.

        Raises:
            PromptError: If there is no such frame.
        """
        check_place(DEFAULT_OBJECT, index, len(self.clip))
        return next(iter(self.frames(index, index + 1)))

    def _plan(self, direction: Direction) -> Plan:
        given = GivenInStore(self._project, self._state.given)
        size, opacity = self.clip.size, self.options.opacity
        return Plan.of(self._state.prompts.prompts, size, direction, opacity, given)

    def _planned(self, direction: Direction) -> list[Run]:
        return plan_runs(
            self._plan(direction),
            self._state.changes,
            self._state.runs,
            {name: self._project.frames(name) for name in self.objects},
            lambda name, frame: frame in self.locked(name),
            len(self.clip),
            self._state.next_id,
        )

    def _is_fixed(self, name: str, frame: int) -> bool:
        prompted = any((p.object, p.frame) == (name, frame) for p in self.prompts.prompts)
        return prompted or (name, frame) in self._state.given or frame in self.locked(name)

    def _named(self, name: str | None) -> Iterable[str]:
        if name is not None and name not in self.objects:
            raise PromptError(f"no object {name!r}: there are {', '.join(self.objects) or 'none'}")
        return self.objects if name is None else (name,)

    def _refuse_locked(self, name: str, frame: int) -> None:
        if frame in self.locked(name):
            raise PromptError(f"frame {frame} of {name!r} is locked: unlock it first")

    def _replace(self, prompts: PromptFile) -> None:
        """Take other prompts, and note which places differ."""
        if prompts.prompts:
            given = GivenInStore(self._project, self._state.given)
            Plan.of(prompts.prompts, self.clip.size, "both", self.options.opacity, given)
        changed, gone = self._state.differences(prompts)
        for name, frame in [*changed, *gone]:
            self._refuse_locked(name, frame)
        for name, frame in changed:
            self._state.changed(name, frame, self._project.frames(name))
        self._state.entries = list(prompts.prompts)
        for name, frame in gone:
            self._forget(name, frame)
        self._save()

    def _forget(self, name: str, frame: int) -> None:
        """Drop what was propagated from a frame on which nothing is said any more."""
        self._state.forget(name, frame)
        if name not in self._state.names:
            self._project.drop(name, self._project.frames(name))
            self._state.locks.pop(name, None)
            return
        locked = self.locked(name)
        stale = {
            at
            for at in self._project.frames(name) - locked
            if at == frame or (self._project.facts(name, at) or {}).get("source") == frame
        }
        self._project.drop(name, stale)

    def _save(self) -> None:
        self._project.save(self._state.to_dict())
