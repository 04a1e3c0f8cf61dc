"""Features of handwritten digits, slowly: the program that `examples/demo.py` runs, edits and runs again."""

import logging

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ZOOM = 3
SIZE = 7
ANGLES = np.arange(6) * np.pi / 6
WIDTHS = (3.0, 5.0)

Images = NDArray[np.float64]


def grating(angle: float, width: float) -> Images:
    """Return a filter that answers to strokes of some width which run at an angle (Gabor, 1946)."""
    reach = np.arange(SIZE) - SIZE // 2
    across = reach[:, None] * np.cos(angle) + reach[None, :] * np.sin(angle)
    envelope = np.exp(-(reach[:, None] ** 2 + reach[None, :] ** 2) / (2 * width**2))
    wave = np.cos(2 * np.pi * across / width) * envelope
    return np.asarray(wave - wave.mean())


def pool(response: Images) -> Images:
    """Return how strongly each sixteenth of an image answers."""
    cells = response.reshape(4, response.shape[0] // 4, 4, response.shape[1] // 4)
    return np.asarray(np.abs(cells).mean(axis=(1, 3)))


def features(images: Images) -> Images:
    """Return the features of some images, each of them 8 by 8: a row for each image."""
    logging.getLogger("digits").info("computing %d images", len(images))  # by this the demo counts
    bank = [grating(angle, width) for angle in ANGLES for width in WIDTHS]
    rows = []
    for image in images:
        large = ndimage.zoom(image, ZOOM, order=3)
        rows.append([pool(ndimage.convolve(large, filtered)) for filtered in bank])
    return np.reshape(rows, (len(images), -1))
