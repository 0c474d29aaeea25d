"""Benchmarks of natural objects in clips, as MAM2's NOVM: composed, with exact alpha."""

from pullmatte.data.novm.build import build_novm, build_novm_free
from pullmatte.data.novm.categories import CATEGORIES, CLIPS_PER_CATEGORY

__all__ = ["CATEGORIES", "CLIPS_PER_CATEGORY", "build_novm", "build_novm_free"]
