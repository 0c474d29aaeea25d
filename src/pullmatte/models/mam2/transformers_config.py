"""A size of SAM 2.1 in the words of `transformers`' configs."""

from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VisionConfig
from transformers.models.sam2_video.configuration_sam2_video import (
    Sam2VideoMaskDecoderConfig,
    Sam2VideoPromptEncoderConfig,
)

from pullmatte.models.mam2.config import MEMORY_WIDTH, SAM2Config


def transformers_config(config: SAM2Config) -> Sam2VideoConfig:
    """Say in `transformers`' words what a config says."""
    side, width = config.top_px, config.width
    trunk = Sam2HieraDetConfig(
        hidden_size=config.channels[0],
        num_attention_heads=config.heads[0],
        image_size=[config.image_px, config.image_px],
        window_positional_embedding_background_size=[config.places, config.places],
        blocks_per_stage=list(config.blocks),
        embed_dim_per_stage=list(config.channels),
        num_attention_heads_per_stage=list(config.heads),
        window_size_per_stage=list(config.windows),
        global_attention_blocks=list(config.global_blocks),
    )
    return Sam2VideoConfig(
        vision_config=Sam2VisionConfig(
            backbone_config=trunk,
            backbone_channel_list=list(reversed(config.channels)),
            backbone_feature_sizes=[[side * times, side * times] for times in (4, 2, 1)],
            fpn_hidden_size=width,
        ),
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(
            hidden_size=width, image_size=config.image_px
        ),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=width, mlp_dim=config.decoder_mlp, iou_head_hidden_dim=width
        ),
        image_size=config.image_px,
        memory_attention_hidden_size=width,
        memory_attention_num_layers=config.memory_layers,
        memory_attention_feed_forward_hidden_size=config.memory_mlp,
        memory_attention_rope_feat_sizes=[side, side],
        memory_encoder_hidden_size=width,
        memory_encoder_output_channels=MEMORY_WIDTH,
        mask_downsampler_embed_dim=width,
        memory_fuser_embed_dim=width,
        memory_fuser_intermediate_dim=config.memory_fuser * width,
        max_object_pointers_in_encoder=config.most_pointers,
        max_cond_frame_num=config.most_prompted or -1,
    )
