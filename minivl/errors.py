"""What minivl raises when something that it was given is wrong.

Every message is one sentence that names the file or argument and says what to do about it.
"""

from __future__ import annotations


class MinivlError(Exception):
    """Any problem that the caller can put right."""


class MediaError(MinivlError):
    """A video, image or sound file that cannot be read."""


class NoPictureError(MediaError):
    """A file that is whole, but holds no picture: sound alone."""


class WeightsError(MinivlError):
    """Weights that are missing, or that do not fit the model."""


class InputError(MinivlError):
    """An argument or a question outside what the function accepts."""


class DeviceMemoryError(MinivlError):
    """Not enough memory on the device for what was asked."""
