"""MEMatte: a matting network for given trimaps that attends only where it has to.

Source: Memory Efficient Matting with Adaptive Token Routing (MEMatte); the matter of Matting
Anything 2, section 3.
"""
