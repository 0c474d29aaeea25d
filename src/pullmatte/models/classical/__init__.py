"""The classical engine: GrabCut, an adaptive trimap, closed-form matting, optical flow for clips.

It needs no weights. It is the baseline of all later models and the matter of a user's own trimap.
"""
