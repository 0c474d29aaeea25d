"""SDMatte: Stable Diffusion 2 as a one-step, promptable matting network.

LiteSDMatte is a config of it. Each part of the paper has a file here, by its name.

Source: SDMatte: Grafting Diffusion Models for Interactive Matting (ICCV 2025).
"""
