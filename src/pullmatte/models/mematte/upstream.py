"""Names: what transformers calls a tensor of ViTMatte, and what its authors and we call it."""

_RENAMED = (
    ("backbone.embeddings.position_embeddings", "backbone.pos_embed"),
    ("backbone.embeddings.projection.", "backbone.patch_embed.proj."),
    ("backbone.encoder.layer.", "backbone.blocks."),
    (".attention.", ".attn."),
    (".batch_norm.", ".bn."),
    ("decoder.fusion_blocks.", "decoder.fusion_blks."),
)
# What trainers put before a name.
_WRAPPERS = ("module.", "_orig_mod.")
# A training checkpoint's copy of the network that taught it.
_TEACHER = "teacher_backbone."
_COUNTER = ".num_batches_tracked"


def to_ours(name: str) -> str | None:
    """Turn a name of transformers' ViTMatte, or a released one, into ours, the released one.

    Returns:
        Our name; None for tensors that aren't needed to matte.

    Source: ViTMatte and MEMatte as released; `VitMatteForImageMatting`.
    """
    while (wrapper := next((w for w in _WRAPPERS if name.startswith(w)), None)) is not None:
        name = name.removeprefix(wrapper)
    if name.startswith(_TEACHER):
        return None
    for theirs, ours in _RENAMED:
        name = name.replace(theirs, ours)
    return name


def is_counter(name: str) -> bool:
    """Whether a tensor only counts training steps, so that no file of ours holds it."""
    return name.endswith(_COUNTER)
