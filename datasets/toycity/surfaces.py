"""The shape of a painted scene: how far away each pixel is and which way its surface faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.toycity.camera import Camera
from datasets.toycity.colours import Colour

SKY_DISTANCE = 1e4  # metres
GROUND, OWN_CAR = 1, 2
"""The numbers of the ground and of the camera's car."""


@dataclass(frozen=True)
class Lamp:
    """A lamp at a camera-space ``point`` (metres); the ``radius`` of its glow (metres) tells its power.

    ``surface`` is the number of the surface that it is on; those with higher numbers hide it.
    """

    point: tuple[float, float, float]
    radius: float
    colour: Colour
    surface: int


class Surfaces:
    """The plane that each pixel of a painted picture belongs to.

    ``numbers``, int32 (H, W), has the number of the surface at each pixel: 0 is the sky. The painter fills it
    along with the picture, so later surfaces hide earlier ones. ``shade``, uint8 (H, W), is the share of the
    light that shadows leave on the ground (255: all of it). ``lamps`` are all lamps, seen or not.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.numbers = np.zeros((camera.height, camera.width), dtype=np.int32)
        self.shade = np.full((camera.height, camera.width), 255, dtype=np.uint8)
        self.lamps: list[Lamp] = []
        # Normal (x, y, z), distance of the plane from the origin, and the range of depths on the surface
        self._planes: list[tuple[float, ...]] = [
            (0.0, 0.0, -1.0, -SKY_DISTANCE, SKY_DISTANCE, SKY_DISTANCE),
            (0.0, 1.0, 0.0, 0.0, 0.3, 1000.0),
            (0.0, 1.0, 0.0, 0.0, 1.0, 1.0),
        ]
        self._panes: list[int] = []

    def add(self, points: np.ndarray, count: int = 1, panes: bool = False, slopes: bool = False) -> range:
        """The numbers of ``count`` new surfaces that lie in the plane of the polygons (K, N, 3).

        ``panes`` are windows, each of which may be lit at night. ``slopes`` are as near as the polygons, but
        face up by 45 degrees.
        """
        first, last = points[0], points[-1]
        corners = first if len(points) == 1 else np.stack([first[0], last[1], last[2], first[3]])
        # Newell's method also gives the normal of outlines that are not convex.
        following = np.roll(corners, -1, axis=0)
        normal = np.cross(corners, following).sum(axis=0)
        length = float(np.linalg.norm(normal))
        middle = corners.mean(axis=0)
        normal = normal / length if length > 1e-9 else np.array([0.0, 0.0, -1.0])
        if normal @ (middle - (0, self.camera.eye, 0)) > 0:
            normal = -normal
        depth = points[..., 2]
        if slopes:
            normal = np.array([0.0, 1.0, -1.0]) / np.sqrt(2)
        plane = (*normal.tolist(), float(normal @ middle), float(depth.min()), float(depth.max()))
        numbers = range(len(self._planes), len(self._planes) + count)
        self._planes += [plane] * count
        if panes:
            self._panes += numbers
        return numbers

    def lamp(self, point: tuple[float, float, float], radius: float, colour: Colour) -> None:
        """Add a lamp to the latest surface."""
        self.lamps.append(Lamp(point, radius, colour, len(self._planes) - 1))

    def facing(self, z: float) -> int:
        """The number of a new surface at the depth ``z`` (metres) that faces the camera."""
        self._planes.append((0.0, 0.0, -1.0, -z, z, z))
        return len(self._planes) - 1

    def seen(self, taken: slice, scale: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the pixels ``[taken, taken]`` show, in a picture that is ``scale`` times smaller.

        Returns the depth (metres) and the unit normals towards the camera, float32 (H, W) and (H, W, 3), the
        number of the surface, int32 (H, W), and whether it is a pane, bool (H, W).
        """
        numbers = self.numbers[taken, taken]
        planes = np.array(self._planes, dtype=np.float32)[numbers]
        across, down = self.camera.rays(scale)
        rate = planes[..., 0] * across - planes[..., 1] * down + planes[..., 2]
        rest = planes[..., 3] - planes[..., 1] * self.camera.eye
        # A plane that is seen exactly from its edge has no depth of its own.
        safe = np.where(np.abs(rest) < 1e-4, 1.0, rest)
        inverse = np.where(np.abs(rest) < 1e-4, 1.0 / planes[..., 5], rate / safe)
        depth = np.clip(1 / np.maximum(inverse, 1 / SKY_DISTANCE), planes[..., 4], planes[..., 5])
        is_pane = np.zeros(len(self._planes), dtype=bool)
        is_pane[self._panes] = True
        return depth, np.ascontiguousarray(planes[..., :3]), numbers, is_pane[numbers]
