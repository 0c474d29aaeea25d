"""Closed-form matting: trimap to alpha, on crops round the unknown region only."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import FunctionType

import cv2
import numpy as np
from numpy.typing import NDArray
from pymatting.laplacian.cf_laplacian import cf_laplacian
from pymatting.preconditioner.ichol import ichol
from pymatting.preconditioner.jacobi import jacobi
from pymatting.solver.cg import cg
from scipy.sparse import csr_matrix

from pullmatte.models.protocol import BoolMask, Image, Plane

# pymatting prints a warning when it has to retry; a library must not write to stdout.
_quiet_ichol = FunctionType(
    ichol.__code__, {**ichol.__globals__, "print": lambda *_: None}, "ichol", ichol.__defaults__
)

MARGIN_PX = 2  # a 3x3 window that holds an unknown pixel reaches no farther than this


@dataclass(frozen=True)
class SolverConfig:
    """How the linear system is built and solved.

    Attributes:
        epsilon: Regulariser of the colour line model; larger is smoother.
        prior_weight: Pull of every unknown pixel towards its prior; keeps the system definite.
        tolerance: Relative residual at which the solver stops.
        piece_tolerance: The same for pieces of a large crop, which start from a coarse solution.
        max_iterations: Steps after which the solver's best so far is taken.
        max_pixels: Largest crop that is solved in one piece.
        overlap_px: By how much neighbouring pieces overlap.
    """

    epsilon: float = 1e-7
    prior_weight: float = 1e-9
    tolerance: float = 1e-5
    piece_tolerance: float = 1e-4
    max_iterations: int = 1000
    max_pixels: int = 640_000
    overlap_px: int = 64


def solve_alpha(
    image: Image,
    trimap: Plane,
    prior: Plane | None = None,
    weight: Plane | None = None,
    config: SolverConfig | None = None,
) -> Plane:
    """Solve for alpha in the unknown region of a trimap.

    Unknown regions that lie apart are independent systems, each solved on its own crop; the result
    is that of one solve over the whole image. A crop above `SolverConfig.max_pixels` is solved at a
    lower resolution first, which gives overlapping full-resolution pieces their border values.

    Args:
        image: `H W 3` float32 in [0, 1].
        trimap: `H W` float32 in {0, 0.5, 1}.
        prior: `H W` in [0, 1], towards which unknown pixels are pulled; 0.5 when left out.
        weight: `H W`, at least 0: the pull, added to `SolverConfig.prior_weight`.
        config: How to solve; the defaults when left out.

    Returns:
        `H W` float32 in [0, 1], equal to the trimap where that is known.

    Source: Levin, Lischinski, Weiss, "A closed-form solution to natural image matting", eq. 12, 14.
    """
    config = config or SolverConfig()
    problem = _Problem.of(image, trimap, prior, weight)
    alpha = trimap.astype(np.float32, copy=True)
    for window in _crops(trimap == 0.5):
        crop = problem.crop(window)
        solved = _solve_large(crop, config) if crop.size > config.max_pixels else crop.solve(config)
        unknown = crop.trimap == 0.5
        alpha[window][unknown] = solved[unknown]
    return alpha


Window = tuple[slice, slice]


@dataclass(frozen=True)
class _Problem:
    """A crop with all that its linear system needs; unknown is where `trimap` is 0.5."""

    image: Image
    trimap: Plane
    prior: Plane
    weight: Plane

    @classmethod
    def of(
        cls, image: Image, trimap: Plane, prior: Plane | None, weight: Plane | None
    ) -> "_Problem":
        size = trimap.shape
        prior = np.broadcast_to(np.float32(0.5), size) if prior is None else prior
        weight = np.broadcast_to(np.float32(0), size) if weight is None else weight
        return cls(image, trimap, prior, weight)

    @property
    def size(self) -> int:
        return int(self.trimap.size)

    def crop(self, window: Window) -> "_Problem":
        return _Problem(
            self.image[window], self.trimap[window], self.prior[window], self.weight[window]
        )

    def solve(
        self, config: SolverConfig, unknown: BoolMask | None = None, known: Plane | None = None
    ) -> Plane:
        """Solve `unknown` (all that is 0.5 when left out), holding the rest at `known`."""
        unknown = self.trimap == 0.5 if unknown is None else unknown
        known = self.trimap if known is None else known
        if not unknown.any():
            return known.astype(np.float32)
        if min(unknown.shape) < 3:
            return np.where(unknown, self.prior, known).astype(np.float32)
        rows = unknown.ravel()
        image = np.ascontiguousarray(self.image, np.float64)
        laplacian = cf_laplacian(image, epsilon=config.epsilon, is_known=~unknown)[rows]
        system, coupling = laplacian[:, rows], laplacian[:, ~rows]
        pull = self.weight.ravel()[rows].astype(np.float64) + config.prior_weight
        system.setdiag(system.diagonal() + pull)
        prior = self.prior.ravel()[rows].astype(np.float64)
        target = pull * prior - coupling.dot(known.ravel()[~rows].astype(np.float64))
        alpha = known.astype(np.float32, copy=True)
        start = known.ravel()[rows].astype(np.float64)
        alpha[unknown] = np.clip(_conjugate_gradient(system, target, start, config), 0, 1)
        return alpha


def _conjugate_gradient(
    system: csr_matrix,
    target: NDArray[np.float64],
    start: NDArray[np.float64],
    config: SolverConfig,
) -> NDArray[np.float64]:
    """Solve, or give the last iterate when it doesn't converge in time."""
    latest = [start]

    def keep(_matrix: object, x: NDArray[np.float64], *_rest: object) -> None:
        latest[0] = x

    try:
        # The small shift keeps the incomplete factor positive definite; x is not changed by it.
        preconditioner = _quiet_ichol(
            system.tocsr(), shifts=[1e-5, 1e-2, 1.0], max_nnz=4096 + 100 * len(target)
        )
    except ValueError:
        preconditioner = jacobi(system)
    try:
        solved: NDArray[np.float64] = cg(
            system,
            target,
            x0=start,
            rtol=config.tolerance,
            atol=1e-12,
            maxiter=config.max_iterations,
            callback=keep,
            M=preconditioner,
        )
    except ValueError:
        return latest[0]
    return solved


def _crops(unknown: BoolMask) -> Iterator[Window]:
    """Give windows that cover the unknown pixels, none coupled with another."""
    if not unknown.any():
        return
    near = cv2.dilate(unknown.astype(np.uint8), np.ones((5, 5), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    boxes = [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:].tolist()]
    for x0, y0, x1, y1 in _merge_touching(boxes):
        yield _window((x0, y0, x1, y1), MARGIN_PX, unknown.shape)


Corners = tuple[int, int, int, int]


def _merge_touching(boxes: list[Corners]) -> list[Corners]:
    """Unite boxes that overlap, so that each unknown pixel is solved once."""
    if len(boxes) > 200:  # so many specks cost more apart than in one piece
        lows, highs = np.min(boxes, axis=0), np.max(boxes, axis=0)
        return [(int(lows[0]), int(lows[1]), int(highs[2]), int(highs[3]))]
    merged: list[Corners] = []
    for x0, y0, x1, y1 in boxes:
        box = (x0, y0, x1, y1)
        while True:
            hit = next((m for m in merged if _overlap(m, box)), None)
            if hit is None:
                break
            merged.remove(hit)
            box = (
                min(hit[0], box[0]),
                min(hit[1], box[1]),
                max(hit[2], box[2]),
                max(hit[3], box[3]),
            )
        merged.append(box)
    return merged


def _overlap(a: Corners, b: Corners) -> bool:
    reach = 2 * MARGIN_PX
    return (
        a[0] < b[2] + reach and b[0] < a[2] + reach and a[1] < b[3] + reach and b[1] < a[3] + reach
    )


def _window(corners: Corners, margin_px: int, shape: tuple[int, ...]) -> Window:
    x0, y0, x1, y1 = corners
    return (
        slice(max(0, y0 - margin_px), min(shape[0], y1 + margin_px)),
        slice(max(0, x0 - margin_px), min(shape[1], x1 + margin_px)),
    )


def _solve_large(problem: _Problem, config: SolverConfig) -> Plane:
    """Solve a crop that is too large for one piece: coarse first, then in overlapping pieces."""
    coarse = _solve_coarse(problem, config)
    config = replace(config, tolerance=config.piece_tolerance)
    unknown = problem.trimap == 0.5
    total = np.zeros(unknown.shape, np.float32)
    weights = np.zeros(unknown.shape, np.float32)
    for window in _pieces(unknown.shape, config):
        if not unknown[window].any():
            continue
        inner = unknown[window] & _interior(window, unknown.shape)
        solved = problem.crop(window).solve(config, inner, coarse[window])
        feather = _feather(window, unknown.shape, config.overlap_px)
        total[window] += solved * feather
        weights[window] += feather
    return np.where(unknown & (weights > 0), total / np.maximum(weights, 1e-6), coarse)


def _solve_coarse(problem: _Problem, config: SolverConfig) -> Plane:
    """Solve at a resolution that fits, and bring the result to full size."""
    height, width = problem.trimap.shape
    scale = (config.max_pixels / problem.size) ** 0.5 * 0.98
    size = (max(3, int(width * scale)), max(3, int(height * scale)))

    def shrink(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        small = np.ascontiguousarray(plane, np.float32)
        return cv2.resize(small, size, interpolation=cv2.INTER_AREA).astype(np.float32)

    small_trimap = shrink(problem.trimap)
    small_trimap[(small_trimap > 0) & (small_trimap < 1)] = 0.5
    small = _Problem(
        shrink(problem.image), small_trimap, shrink(problem.prior), shrink(problem.weight)
    )
    alpha = cv2.resize(small.solve(config), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(problem.trimap == 0.5, np.clip(alpha, 0, 1), problem.trimap).astype(np.float32)


def _pieces(shape: tuple[int, ...], config: SolverConfig) -> Iterator[Window]:
    """Cut a crop into near-square overlapping pieces of at most `max_pixels`."""
    side = max(3 * config.overlap_px, int(config.max_pixels**0.5))
    step = side - config.overlap_px
    for y in range(0, max(1, shape[0] - config.overlap_px), step):
        for x in range(0, max(1, shape[1] - config.overlap_px), step):
            yield slice(y, min(shape[0], y + side)), slice(x, min(shape[1], x + side))


def _interior(window: Window, shape: tuple[int, ...]) -> BoolMask:
    """Mark what isn't on a cut edge of a piece; the cut edges hold the coarse values."""
    rows, columns = window
    inner = np.ones((rows.stop - rows.start, columns.stop - columns.start), np.bool_)
    edge = MARGIN_PX
    if rows.start > 0:
        inner[:edge] = False
    if rows.stop < shape[0]:
        inner[-edge:] = False
    if columns.start > 0:
        inner[:, :edge] = False
    if columns.stop < shape[1]:
        inner[:, -edge:] = False
    return inner


def _feather(window: Window, shape: tuple[int, ...], overlap_px: int) -> Plane:
    """Weights that fall linearly to near 0 over a piece's cut edges."""
    ramps = []
    for span, length in zip(window, shape, strict=True):
        position = np.arange(span.start, span.stop, dtype=np.float32)
        ramp = np.ones_like(position)
        if span.start > 0:
            ramp = np.minimum(ramp, (position - span.start + 0.5) / overlap_px)
        if span.stop < length:
            ramp = np.minimum(ramp, (span.stop - position - 0.5) / overlap_px)
        ramps.append(np.clip(ramp, 1e-3, 1).astype(np.float32))
    return np.outer(ramps[0], ramps[1])
