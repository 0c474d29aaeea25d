"""Names: what transformers calls a tensor of ViTMatte, and what its authors and we call it."""

_RENAMED = (
    ("backbone.embeddings.position_embeddings", "backbone.pos_embed"),
    ("backbone.embeddings.projection.", "backbone.patch_embed.proj."),
    ("backbone.encoder.layer.", "backbone.blocks."),
    (".attention.", ".attn."),
    (".batch_norm.", ".bn."),
    ("decoder.fusion_blocks.", "decoder.fusion_blks."),
)
# A training checkpoint's copy of the network that taught it.
_TEACHER = "teacher_backbone."


def to_ours(name: str) -> str | None:
    """Turn a name of transformers' ViTMatte, or a released one, into ours, the released one.

    Returns:
        Our name; None for tensors that aren't needed to matte.

    Source: ViTMatte and MEMatte as released; `VitMatteForImageMatting`.
    """
    if name.startswith(_TEACHER):
        return None
    for theirs, ours in _RENAMED:
        name = name.replace(theirs, ours)
    return name
