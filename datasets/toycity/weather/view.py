"""What a weather knows of a picture, and what it has to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from datasets.toycity.camera import Camera
from datasets.toycity.codes import ASPHALT, IS_GROUND, Code
from datasets.toycity.looks import Light
from datasets.toycity.painter import Painter
from datasets.toycity.surfaces import Lamp


@dataclass(frozen=True)
class View:
    """A painted scene in even light, with the shape of what it shows.

    ``image`` is float32 (H, W, 3) RGB, 0 to 255; ``codes`` are paint codes, uint8 (H, W). ``position`` is in
    camera space (metres) and ``normals`` are unit vectors towards the camera, float32 (H, W, 3). ``s`` is the
    street coordinate of the ground (metres) and ``shade`` the share of the light that shadows leave there,
    float32 (H, W). ``surfaces``, int32 (H, W), has the number of the surface at each pixel, and ``panes``,
    bool (H, W), says where it is a window that may be lit. ``scale`` is the number of the camera's pixels per
    pixel, ``lane_width`` is in metres.
    """

    image: np.ndarray
    codes: np.ndarray
    position: np.ndarray
    normals: np.ndarray
    s: np.ndarray
    shade: np.ndarray
    surfaces: np.ndarray
    panes: np.ndarray
    lamps: list[Lamp]
    camera: Camera
    scale: int
    lane_width: float

    @property
    def depth(self) -> np.ndarray:
        """Metres ahead of the camera, float32 (H, W); the sky is ``SKY_DISTANCE`` away."""
        return self.position[..., 2]

    @property
    def distance(self) -> np.ndarray:
        """Metres from the camera, float32 (H, W)."""
        return np.linalg.norm(self.position - np.float32([0, self.camera.eye, 0]), axis=-1)

    @property
    def sky(self) -> np.ndarray:
        """Where the sky is, bool (H, W)."""
        return self.codes == Code.SKY

    @property
    def ground(self) -> np.ndarray:
        """Where the ground is, bool (H, W)."""
        return IS_GROUND[self.codes] > 0

    @property
    def asphalt(self) -> np.ndarray:
        """Where the road is, bool (H, W)."""
        return np.isin(self.codes, ASPHALT)

    @property
    def vehicle_lamps(self) -> list[Lamp]:
        """The head and tail lamps."""
        return [lamp for lamp in self.lamps if lamp.point[1] < 2]

    @property
    def focal(self) -> float:
        """The focal length in pixels of this picture."""
        return self.camera.focal / self.scale


def view_of(image: np.ndarray, codes: np.ndarray, s: np.ndarray, painter: Painter, taken: slice) -> View:
    """The view of ``image``, which shows the painted pixels ``[taken, taken]``; ``s`` is that of the ground.

    The painter must have recorded its surfaces.
    """
    recorded, camera, scale = painter.surfaces, painter.camera, taken.step
    depth, normals, surfaces, panes = recorded.seen(taken, scale)
    across, down = camera.rays(scale)
    position = np.stack([across * depth, camera.eye - down * depth, depth], axis=-1)
    shade = recorded.shade[taken, taken].astype(np.float32) / 255
    lane = painter.place.lane_width
    return View(
        image, codes, position, normals, s, shade, surfaces, panes, recorded.lamps, camera, scale, lane
    )


class Weather(ABC):
    """One kind of weather. Its strength is drawn when it is made."""

    light: Light
    """The light that the scene is painted in."""

    @abstractmethod
    def __init__(self, rng: np.random.Generator) -> None: ...

    @abstractmethod
    def show(self, view: View, rng: np.random.Generator) -> np.ndarray:
        """The picture in this weather, float32 (H, W, 3) RGB, 0 to 255."""
