"""SDMatte: Stable Diffusion 2 as a one-step, promptable matting network; LiteSDMatte is a config of it.

Source: SDMatte: Grafting Diffusion Models for Interactive Matting; a file here for each of its parts.
"""
