"""Adverse weather and night: what they do to a scene whose distances, surfaces and lamps are known."""

from datasets.toycity.weather.fog import Fog
from datasets.toycity.weather.night import Night, Twilight
from datasets.toycity.weather.rain import Rain
from datasets.toycity.weather.snow import Snow
from datasets.toycity.weather.view import Weather

WEATHERS: dict[str, type[Weather]] = {
    "fog": Fog,
    "night": Night,
    "rain": Rain,
    "snow": Snow,
    "twilight": Twilight,
}
"""Each is made with the generator of its picture, from which it draws its strength."""

__all__ = ["WEATHERS", "Weather"]
