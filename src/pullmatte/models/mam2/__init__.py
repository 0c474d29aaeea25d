"""Matting Anything 2: from clicks, boxes and masks to trimaps, in photos and clips.

Source: Matting Anything 2: Towards Video Matting for Anything (MAM2).
"""
