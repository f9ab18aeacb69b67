"""Random changes to a whole batch of small pictures of faces at once, tens of thousands a second on one core.

They lead from still pictures to video: a face box that sits a little off, or is a little large; a face turned
or lit from one side; a small face scaled up; motion, poor focus, noise, compression; a hand before the face.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (its customary name)

from stages.core.params import BatchAugmentation

WHITE = 255.0
PARTS = 4
"""Changes that have one strength per call are drawn anew for so many parts of the batch."""
SCALES = (0.6, 1.6)
"""The least and the largest part of the picture's side that is shown."""
BLUR_SIGMA_PX, BLUR_RADIUS, MOTION_PX = (0.4, 1.6), 3, 5
MOTION_SHARE = 0.35
"""Of the blurred pictures."""
NOISE_MOST = 0.05
JPEG_QUALITY = (20, 80)
ERASED_SIDES = (0.1, 0.4)


def augment_batch(image: Tensor, settings: BatchAugmentation) -> Tensor:
    """Every picture of a batch, changed at random.

    Shape: (B, C, S, S) uint8 -> the same.

    Randomness comes from torch's global generator.
    """
    changed = _move(image.float() / WHITE, settings)
    changed = _light(changed, settings)
    changed = _shrink(changed, settings)
    changed = _blur(changed, settings)
    changed = _add_noise(changed, settings.noise_probability)
    changed = _erase(changed, settings.erase_probability)
    whole = (changed * WHITE).round().to(torch.uint8)
    return _compress(whole, settings.jpeg_probability)


def scaled(image: Tensor, size_px: int) -> Tensor:
    """A batch at another size, smoothly. Shape: (B, C, S, S) uint8 -> (B, C, size_px, size_px) uint8."""
    if image.shape[-1] == size_px:
        return image
    sized = F.interpolate(image.float(), (size_px, size_px), mode="bilinear", antialias=True)
    return sized.round().clamp(0, WHITE).to(torch.uint8)


def _move(image: Tensor, settings: BatchAugmentation) -> Tensor:
    """Another scale, aspect, place, angle, and side. Outside there is black, or the edge goes on."""
    count, half = len(image), len(image) // 2
    scale = torch.exp(settings.scale * torch.randn(count)).clamp(*SCALES)
    aspect = torch.exp(settings.aspect * torch.randn(count))
    angle = math.radians(settings.rotation_deg) * torch.randn(count)
    side = torch.where(torch.rand(count) < settings.flip_probability, -1.0, 1.0)
    shift = 2 * settings.shift * torch.randn(count, 2)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    across = torch.stack([side * aspect * cos, -sin, shift[:, 0]], dim=1)
    down = torch.stack([side * aspect * sin, cos, shift[:, 1]], dim=1)
    grid = F.affine_grid(torch.stack([across, down], dim=1), list(image.shape), align_corners=False)
    black = F.grid_sample(image[:half], grid[:half], padding_mode="zeros", align_corners=False)
    edge = F.grid_sample(image[half:], grid[half:], padding_mode="border", align_corners=False)
    return torch.cat([black, edge])


def _light(image: Tensor, settings: BatchAugmentation) -> Tensor:
    """Gamma, contrast and brightness; half of the pictures are lit from one side."""
    normal = torch.randn(4, len(image), 1, 1, 1)
    image = image.clamp(1e-4, 1) ** torch.exp(settings.gamma * normal[0])
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    image = mean + (image - mean) * torch.exp(settings.contrast * normal[1]) + settings.brightness * normal[2]
    line = torch.linspace(-1, 1, image.shape[-1])
    angle = 2 * math.pi * torch.rand(len(image), 1, 1, 1)
    slope = torch.cos(angle) * line + torch.sin(angle) * line[:, None]
    lit = torch.rand(len(image), 1, 1, 1) < 0.5
    return (image * (1 + settings.side_light * normal[3] * slope * lit)).clamp(0, 1)


def _some(count: int, probability: float) -> Tensor:
    """Which pictures are changed."""
    return torch.nonzero(torch.rand(count) < probability).flatten()


def _shrink(image: Tensor, settings: BatchAugmentation) -> Tensor:
    """Some faces as if they had been small: scaled down, and up again."""
    size = image.shape[-1]
    for part in _some(len(image), settings.small_face_probability).chunk(PARTS):
        if len(part) and settings.small_face_px < size:
            least = int(torch.randint(settings.small_face_px, size, ()))
            small = F.interpolate(image[part], (least, least), mode="area")
            image[part] = F.interpolate(small, (size, size), mode="bilinear", align_corners=False)
    return image


def _blur(image: Tensor, settings: BatchAugmentation) -> Tensor:
    """Some pictures out of focus, or moving across or down."""
    for part in _some(len(image), settings.blur_probability).chunk(PARTS):
        if not len(part):
            continue
        if torch.rand(()) < MOTION_SHARE:
            kernel, across = torch.full((MOTION_PX,), 1 / MOTION_PX), bool(torch.rand(()) < 0.5)
            image[part] = _convolve(image[part], kernel, across)
        else:
            sigma_px = float(torch.empty(()).uniform_(*BLUR_SIGMA_PX))
            offset_px = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1.0)
            kernel = torch.softmax(-(offset_px**2) / (2 * sigma_px**2), dim=0)
            image[part] = _convolve(_convolve(image[part], kernel, True), kernel, False)
    return image


def _convolve(image: Tensor, kernel: Tensor, across: bool) -> Tensor:
    """Every channel with a kernel in one direction; beyond the edges the edge goes on."""
    reach, channels = len(kernel) // 2, image.shape[1]
    shape = (1, 1, 1, -1) if across else (1, 1, -1, 1)
    padded = F.pad(image, (reach, reach, 0, 0) if across else (0, 0, reach, reach), mode="replicate")
    return F.conv2d(padded, kernel.view(shape).repeat(channels, 1, 1, 1), groups=channels)


def _add_noise(image: Tensor, probability: float) -> Tensor:
    some = _some(len(image), probability)
    noise = torch.randn(image[some].shape) * (NOISE_MOST * torch.rand(len(some), 1, 1, 1))
    image[some] = (image[some] + noise).clamp(0, 1)
    return image


def _erase(image: Tensor, probability: float) -> Tensor:
    """A rectangle of one grey over some pictures."""
    count, size = len(image), image.shape[-1]
    low, high = ERASED_SIDES
    side, middle = low + (high - low) * torch.rand(count, 2, 1), torch.rand(count, 2, 1)
    place = (torch.arange(size) + 0.5) / size
    within = (place - middle).abs() < side / 2  # (B, 2, S): down and across
    erased = within[:, 0, :, None] & within[:, 1, None, :] & (torch.rand(count, 1, 1) < probability)
    return torch.where(erased[:, None], torch.rand(count, 1, 1, 1), image)


def _compress(image: Tensor, probability: float) -> Tensor:
    """Some pictures through JPEG. Shape: (B, C, S, S) uint8 -> the same."""
    import cv2

    low, high = JPEG_QUALITY
    for place in _some(len(image), probability).tolist():
        quality = int(torch.randint(low, high, ()))
        pixels = image[place].permute(1, 2, 0).numpy()
        coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
        image[place] = torch.from_numpy(decoded.reshape(pixels.shape)).permute(2, 0, 1)
    return image
