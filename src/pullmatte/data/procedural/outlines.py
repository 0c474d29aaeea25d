"""Closed curves of smooth objects, in object coordinates."""

import numpy as np

from pullmatte.data.procedural.pose import Points

STEPS = 96


def ellipse(
    centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0, power: float = 2.0
) -> Points:
    """Return an ellipse, or a superellipse, which is boxier the higher its power.

    Args:
        centre: x and y.
        radii: in x and y before the turn.
        angle: turn, in radians.
        power: 2 for an ellipse.

    Returns:
        `N 2`.
    """
    turn = np.linspace(0, 2 * np.pi, STEPS, endpoint=False)
    cos, sin = np.cos(turn), np.sin(turn)
    x = np.sign(cos) * np.abs(cos) ** (2 / power) * radii[0]
    y = np.sign(sin) * np.abs(sin) ** (2 / power) * radii[1]
    return np.asarray(turned(np.stack([x, y], -1), angle) + np.asarray(centre))


def turned(points: Points, angle: float) -> Points:
    """Turn points about (0, 0).

    Args:
        points: `... 2`.
        angle: in radians.

    Returns:
        `... 2`.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]))


def blob(generator: np.random.Generator, radius: float, roughness: float, waves: int = 5) -> Points:
    """Draw a round shape with a wavy outline.

    Args:
        generator: drawn from.
        radius: on average.
        roughness: deviation of the radius relative to it.
        waves: how many of them go around at most.

    Returns:
        `N 2`.
    """
    turn = np.linspace(0, 2 * np.pi, STEPS, endpoint=False)
    orders = np.arange(2, waves + 1)
    strengths = generator.normal(0, 1, orders.size) / orders
    phases = generator.uniform(0, 2 * np.pi, orders.size)
    wave = (strengths * np.cos(np.outer(turn, orders) + phases)).sum(1)
    reach = radius * np.clip(1 + roughness * wave, 0.3, 1.6)
    return np.stack([np.cos(turn) * reach, np.sin(turn) * reach], -1)


def rounded_polygon(corners: Points, rounding: float) -> Points:
    """Round a polygon's corners by a quadratic curve at each.

    Args:
        corners: `N 2`.
        rounding: share of each edge that the curves take, 0 to 1.

    Returns:
        `M 2`.
    """
    share = 0.5 * rounding
    before, after = np.roll(corners, 1, 0), np.roll(corners, -1, 0)
    start = corners + share * (before - corners)
    end = corners + share * (after - corners)
    t = np.linspace(0, 1, 9)[None, :, None]
    curve = (1 - t) ** 2 * start[:, None] + 2 * t * (1 - t) * corners[:, None] + t**2 * end[:, None]
    return np.asarray(curve.reshape(-1, 2))


def any_polygon(generator: np.random.Generator, radius: float) -> Points:
    """Draw a rounded polygon: regular, a star, or uneven.

    Args:
        generator: drawn from.
        radius: of its corners, at most.

    Returns:
        `N 2`.
    """
    count = int(generator.integers(3, 9))
    turn = np.arange(count) * 2 * np.pi / count + generator.uniform(0, 2 * np.pi)
    reach = np.full(count, radius)
    style = generator.random()
    if style < 0.3:
        count *= 2
        turn = np.arange(count) * 2 * np.pi / count + generator.uniform(0, 2 * np.pi)
        reach = np.where(np.arange(count) % 2, radius * generator.uniform(0.45, 0.8), radius)
    elif style < 0.65:
        reach = radius * generator.uniform(0.65, 1, count)
    corners = np.stack([np.cos(turn) * reach, np.sin(turn) * reach], -1)
    return rounded_polygon(corners, float(generator.uniform(0.1, 1)))


def lathe_profile(generator: np.random.Generator, count: int = 64) -> Points:
    """Draw the half outline of a turned body, such as a jar, a bottle or a goblet.

    Args:
        generator: drawn from.
        count: how many points.

    Returns:
        `count 2`: radius in [0.04, 1] and height from -1, the top, to 1.
    """
    knots = int(generator.integers(4, 8))
    radii = generator.uniform(0.3, 1, knots)
    if generator.random() < 0.35:
        radii[generator.integers(1, knots - 1)] = generator.uniform(0.08, 0.2)
    place = np.linspace(0, knots - 1, count)
    low = np.minimum(place.astype(int), knots - 2)
    share = place - low
    share = share * share * (3 - 2 * share)
    radius = radii[low] * (1 - share) + radii[low + 1] * share
    radius = np.maximum(radius / radius.max() * generator.uniform(0.45, 0.95), 0.04)
    return np.stack([radius, np.linspace(-1, 1, count)], -1)


def lathe_outline(profile: Points, sag: float = 0.1) -> Points:
    """Close a turned body's outline, its foot curved as seen from a little above.

    Args:
        profile: `N 2` from `lathe_profile`.
        sag: height of the half ellipses at top and bottom, relative to their radius.

    Returns:
        `M 2`.
    """
    turn = np.linspace(0, np.pi, 24)
    radius, height = profile[-1]
    foot = np.stack([np.cos(turn) * radius, height + sag * radius * np.sin(turn)], -1)
    radius, height = profile[0]
    top = np.stack([-np.cos(turn) * radius, height - sag * radius * np.sin(turn)], -1)
    return np.concatenate([profile, foot, profile[::-1] * (-1, 1), top])


def tube(spine: Points, widths: Points) -> Points:
    """Return the outline of a bent tube.

    Args:
        spine: `N 2` along its middle.
        widths: `N`, half its width at each point.

    Returns:
        `2N 2`.
    """
    along = np.gradient(spine, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    side = np.stack([-along[:, 1], along[:, 0]], -1) * widths[:, None]
    return np.concatenate([spine + side, (spine - side)[::-1]])
