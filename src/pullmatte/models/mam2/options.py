"""What can be chosen of MAM2 without training anew."""

from dataclasses import dataclass

from pullmatte.models.mam2.pdd import Choice


@dataclass(frozen=True)
class MAM2Options:
    """What can be chosen without training anew.

    Attributes:
        feed_previous: Show the mask as it was before a click along with the click, as SAM 2's
            own predictor does. Of several clicks each is shown the mask of those before it.
        mask_pointer: Which of the decoder's masks stands for a user's mask in memory: "single" in
            SAM 2's own code, "best" in transformers.
        believe_prompts: Where a box, a mask or a click in the object says that it is there, it
            is, whatever the network says.
        clicks_for_box: From so many clicks in the object on a first frame's prompt without a box
            gets one round them; 0 for never. For networks that know boxes better than clicks.
        least_sure: If the chance of foreground is nowhere so much, an object is one that can be
            seen through. It is decoded again where the network has a second decoder, and stays
            such an object while it is tracked; else all its foreground counts as unknown, on
            frames on which something is said alone. 0 believes all of it.
        seen_through_from: Nor is it opaque if the judge of a network that has one thinks that
            likely that one can see through it; 1 asks none.
        settle: Where another click moves the trimap's chances by less than so much, the trimap
            stays as it was without that click; 0 for never. A click then changes what it means,
            and a matter needn't do the rest again.
        keep_whole: An object that was one piece on all prompted frames loses the small far pieces
            that its mask gets while it is tracked; see `pieces`. Of what can be seen through
            pieces stay.
        remember_alpha: Let networks that can do it weigh a tracked frame's alpha against the one
            before. What is tracked doesn't change by it.
    """

    feed_previous: bool = True
    believe_prompts: bool = True
    mask_pointer: Choice = "single"
    clicks_for_box: int = 0
    least_sure: float = 0.0
    seen_through_from: float = 1.0
    settle: float = 0.0
    keep_whole: bool = False
    remember_alpha: bool = True
