"""What a clip starts from beside prompts: given alphas, an image model's mattes, a project."""

from dataclasses import replace

from pullmatte.errors import PromptError
from pullmatte.io.project_folder import ProjectFolder
from pullmatte.jobs.video_options import GivenAlpha, Place, VideoOptions, VideoStart
from pullmatte.prompts import DEFAULT_OBJECT, PromptFile
from pullmatte.sessions.clip import FrameSource
from pullmatte.sessions.editing import EditSession
from pullmatte.sessions.finishing import Finish
from pullmatte.sessions.load import Matter
from pullmatte.sessions.tracking import Plan


def start_from(start: VideoStart, clip: FrameSource, prompts: PromptFile) -> VideoStart:
    """Have an image model matte the frames on which objects are found, if there is one.

    Args:
        start: What was said.
        clip: The clip.
        prompts: All prompts; those on such frames go to the image model.

    Returns:
        The same, with the image model's alphas among the given.

    Raises:
        PromptError: If a given alpha names a frame that doesn't exist.

    Source: Matting Anything 2, section 4.3: automatic mode.
    """
    for each in start.alphas:
        if not 0 <= each.frame < len(clip):
            raise PromptError(
                f"alpha for {each.object!r} on frame {each.frame}: the clip has frames 0 to "
                f"{len(clip) - 1}"
            )
    if start.matter is None:
        return start
    plan = Plan.of(prompts.prompts, clip.size, "both", "auto")
    known = {(each.object, each.frame) for each in start.alphas}
    found = list(start.alphas)
    for at in sorted({frame for frames in plan.origins.values() for frame in frames}):
        said = {
            name: prompt
            for name, prompt in plan.prompts.get(at, {}).items()
            if plan.is_origin(name, at) and (name, at) not in known
        }
        for frame in clip.frames(at, at + 1) if said else ():
            photo = start.matter.open_image(frame.image, foreground=False)
            mattes = photo.predict_objects(said)
            found += [GivenAlpha(matte.alpha, name, at) for name, matte in mattes.items()]
    return replace(start, alphas=tuple(found))


def open_edit(
    matter: Matter, clip: FrameSource, start: VideoStart, options: VideoOptions, finish: Finish
) -> EditSession:
    """Open a project; nothing is said or computed yet.

    Args:
        matter: The model.
        clip: The clip.
        start: With the project's folder.
        options: How the clip is matted.
        finish: How mattes are finished.

    Raises:
        PullmatteError: If the project was made with another clip, model or setting.
        ReadError: If it is damaged, or the folder holds something else.
    """
    assert start.project is not None, "called with a project only"
    return matter.edit_video(
        clip,
        ProjectFolder(start.project),
        foreground=finish.foreground,
        steady=finish.steady,
        sum_to_one=finish.sum_to_one,
        opacity=options.opacity,
    )


def tell(session: EditSession, prompts: PromptFile, start: VideoStart) -> None:
    """Tell a project what is said now; what it knows already isn't said twice.

    Args:
        session: The project.
        prompts: What is said.
        start: Locks, given alphas, what is to be forgotten.

    Raises:
        PromptError: If something doesn't fit the clip, or a locked frame would have to change.
    """
    count = len(session.clip)
    for place in start.unlock:
        session.unlock(*_frames(place, count))
    for place in start.lock:
        # What is to be locked is there already; what is said now mustn't change it.
        session.lock(*_frames(place, count))
    for place in start.forget:
        for frame in _frames(place, count)[0]:
            session.remove(frame, place.object or DEFAULT_OBJECT)
    known = session.prompts.prompts
    session.add(PromptFile(tuple(p for p in prompts.prompts if p not in known), size=prompts.size))
    for each in start.alphas:
        session.give(each.alpha, frame=each.frame, object=each.object)


def _frames(place: Place, frame_count: int) -> tuple[range, str | None]:
    if not 0 <= place.first <= place.last < frame_count:
        raise PromptError(
            f"frames {place.first}-{place.last}: the clip has frames 0 to {frame_count - 1}"
        )
    return range(place.first, place.last + 1), place.object
