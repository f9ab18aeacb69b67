"""Random changes of face images in training (paper, section 4.2.2): each alone is rare, together not.

Twelve independent changes at a probability of 0.05 leave 54 % of the images as they are.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

Change = Callable[[Tensor], Tensor]


def build_augmentation(names: Sequence[str], probability: float) -> Change:
    """A function that passes an image through every named change, each with the same probability.

    Shape: the function takes and gives (3, H, W) uint8.

    Randomness comes from torch's global generator, which `FaceImages` seeds for each image of each epoch.

    Args:
        names: keys of CHANGES, applied in this order.
        probability: of each change, independently; 0 to 1.

    Raises:
        ValueError: an unknown name, or a probability outside [0, 1].
    """
    if unknown := [name for name in names if name not in CHANGES]:
        raise ValueError(f"unknown augmentations {unknown}; known: {', '.join(CHANGES)}")
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"probability must be within 0 and 1, got {probability}")
    changes = [CHANGES[name] for name in names]

    def augment(image: Tensor) -> Tensor:
        chosen = torch.rand(len(changes)) < probability
        for change, is_chosen in zip(changes, chosen.tolist(), strict=True):
            if is_chosen:
                image = change(image)
        return image

    return augment


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _pad(image: Tensor) -> Tensor:
    """A black frame of up to half the image on each side, then back to the old size: the face shrinks."""
    height, width = image.shape[-2:]
    left, top, right, bottom = (
        math.ceil(_uniform(0.0, 0.5) * side) for side in (width, height, width, height)
    )
    return _resize(v2.functional.pad(image, [left, top, right, bottom]), height, width)


def _crop(image: Tensor) -> Tensor:
    """A random part of 0.7 to 0.9 of each side, enlarged to the old size."""
    height, width = image.shape[-2:]
    part = _uniform(0.7, 0.9)
    part_height, part_width = max(1, round(part * height)), max(1, round(part * width))
    top = int(torch.randint(height - part_height + 1, ()))
    left = int(torch.randint(width - part_width + 1, ()))
    return _resize(v2.functional.crop(image, top, left, part_height, part_width), height, width)


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    resized: Tensor = v2.functional.resize(image, [height, width], antialias=True)
    return resized


def _noise(image: Tensor) -> Tensor:
    """White Gaussian noise, standard deviation 2 to 10 % of full scale."""
    noisy = image + 255.0 * _uniform(0.02, 0.1) * torch.randn(image.shape)
    return noisy.round().clamp(0, 255).to(torch.uint8)


def _sharpness(image: Tensor) -> Tensor:
    """Blurred (below 1) or sharpened (above 1)."""
    sharpened: Tensor = v2.functional.adjust_sharpness(image, _uniform(0.1, 3.0))
    return sharpened


def _blur(image: Tensor) -> Tensor:
    """Gaussian, kernel 5, 7 or 9 pixels, sigma 0.1 to 5."""
    kernel = 5 + 2 * int(torch.randint(3, ()))
    blurred: Tensor = v2.functional.gaussian_blur(image, [kernel, kernel], [_uniform(0.1, 5.0)] * 2)
    return blurred


CHANGES: dict[str, Change] = {
    "pad": _pad,
    "colour_jitter": v2.ColorJitter(brightness=0.5, contrast=0.3, saturation=0.3, hue=0.3),
    "noise": _noise,
    "grayscale": v2.Grayscale(num_output_channels=3),
    "blur": _blur,
    "perspective": v2.RandomPerspective(distortion_scale=0.2, p=1.0),
    "rotation": v2.RandomRotation(degrees=[-20, 20], interpolation=InterpolationMode.BILINEAR),
    "crop": _crop,
    "posterize": v2.RandomPosterize(bits=4, p=1.0),
    "sharpness": _sharpness,
    "equalize": v2.functional.equalize,
    "horizontal_flip": v2.functional.horizontal_flip,
    "vertical_flip": v2.functional.vertical_flip,
}
"""All known changes; figures are the paper's or, where it gives none, those of its authors' code."""

PAPER = tuple(name for name in CHANGES if name != "vertical_flip")
"""The twelve. The authors' code flips vertically too; the model won't be used on upside-down faces."""

LIGHT = ("horizontal_flip", "colour_jitter", "crop")
"""A few cheap ones, for small corpora and slow machines (then at a probability of 0.2 to 0.5)."""
