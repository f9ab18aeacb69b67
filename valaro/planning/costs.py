"""What one unit of work costs: every figure that a plan is made of, and where it was measured.

Three kinds of figure stand here, and a plan says which it used:

- `CPU`: measured on one machine of two cores (AMD EPYC), in seconds of one core; the reports lie in
  `benchmarks/results/`.
- `PUBLISHED`: published by others for a GPU. timm's tables of an RTX 3090, with mixed precision and channels
  last: `results/benchmark-{train,infer}-amp-nhwc-pt112-cu113-rtx3090.csv` of its repository.
- `ESTIMATED`: derived from the others, or assumed. Nothing of the project has been measured on a GPU yet.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal, NamedTuple

Basis = Literal["CPU", "PUBLISHED", "ESTIMATED"]


class Cost(NamedTuple):
    """One figure.

    Args:
        value: in `unit`.
        unit: in words.
        basis: what kind of figure it is.
        source: where it was measured, or how it was derived.
    """

    value: float
    unit: str
    basis: Basis
    source: str


TIMM = "timm's results, RTX 3090, mixed precision, PyTorch 1.12"
THROUGHPUT = "throughput-2026-11-26, two cores"
LOADING = "loading-2026-11-28, one core"
SAMPLE_RUN = "a whole `dvc repro` of the sample, 2026-11-28, two idle cores"
MEASURED_ON = "two cores of an AMD EPYC"

COSTS: dict[str, Cost] = {
    # per-video stages; those that grow with the picture were measured at 640 x 480
    "index": Cost(0.0028, "core s per s of a subject", "CPU", THROUGHPUT),
    "decode": Cost(0.0156, "core s per s of 640 x 480 video, frames kept", "CPU", THROUGHPUT),
    "grid": Cost(0.005, "core s per s of video: stamps and sound, no frame", "CPU", THROUGHPUT + ", scaled"),
    "pictures": Cost(0.011, "core s per s of 640 x 480 video read", "CPU", THROUGHPUT + ", scaled"),
    "jpeg": Cost(0.0031, "core s per megapixel decoded", "CPU", LOADING),
    "detector": Cost(0.0309, "core s per megapixel searched", "CPU", "detection-2026-11-26, less the JPEG"),
    "crop": Cost(0.001, "core s per crop cut and encoded", "CPU", SAMPLE_RUN),
    "mesh": Cost(0.00332, "core s per crop", "CPU", "mesh-2026-11-26"),
    "mesh start": Cost(0.18, "core s per video", "CPU", SAMPLE_RUN),
    "speech": Cost(0.0002, "core s per s of a subject", "CPU", THROUGHPUT),
    # networks, on one core
    "sound": Cost(0.256, "core s per s of window through wav2vec 2.0", "CPU", "windows-2026-11-26"),
    "macs": Cost(18.9e9, "multiplications per core s", "CPU", "embedding-2026-11-26: B1 has 0.71e9"),
    "dense macs": Cost(40e9, "multiplications per core s", "CPU", "windows-2026-11-26: 10.2e9 a s of window"),
    "backward": Cost(2.0, "times a forward pass", "ESTIMATED", "two products for one"),
    # reading images for training
    "load": Cost(0.0161, "core s per megapixel of the square, augmented", "CPU", LOADING),
    "load image": Cost(0.00025, "core s per image besides", "CPU", LOADING),
    # KELM and forests
    "solve": Cost(2.74 / 6000**3, "core s per cubed window", "CPU", "kelm-2026-11-26"),
    "tree": Cost(3.7e-6, "core s per row of a tree", "CPU", LOADING),
    "draw": Cost(1e-6, "s per draw of Dirichlet weights, all fusions", "CPU", SAMPLE_RUN),
    # what every stage takes besides, however short its work
    "stage start": Cost(0.9, "s per stage", "CPU", SAMPLE_RUN),
    "network start": Cost(2.2, "s per stage with a network, for its libraries", "CPU", SAMPLE_RUN),
    # GPUs
    "gpu": Cost(165.0, "times a core", "ESTIMATED", "EfficientNet-B1: 4403 images/s against 26.6"),
    "gpu step": Cost(0.015, "s per step of a small network", "ESTIMATED", "its time is the launching"),
    "full precision": Cost(2.0, "times mixed precision", "ESTIMATED", "a rule of thumb"),
    # disk
    "frame bytes": Cost(0.24, "bytes per pixel, JPEG of quality 95", "CPU", "720p and smaller"),
    "large frame bytes": Cost(0.20, "bytes per pixel, JPEG of quality 95", "CPU", "1080p"),
    "sample bytes": Cost(1.5, "bytes per sample, both channels, FLAC", "CPU", "frames-2026-11-27"),
    "crop bytes": Cost(0.40, "bytes per pixel of a crop", "CPU", LOADING),
    # assumed of the corpus
    "face": Cost(1 / 3, "of the picture's height is a face's side", "ESTIMATED", "assumed"),
    "speaking": Cost(0.4, "of the time someone speaks", "ESTIMATED", "assumed"),
}

PEAK_MB: dict[str, float] = {
    "index": 125,
    "decode": 150,
    "faces": 253,
    "mouth": 154,
    "voice": 592,
    "speech": 74,
    "embed": 418,
    "finetune": 2500,
    "train_audio": 2437,
    "predict": 2437,
}
"""Peak memory of a worker on a processor, of a track of 26 minutes (memory-2026-11-27: RetinaFace, Spleeter,
EfficientNet-B1; windows-2026-11-26); that of fine-tuning is an estimate."""
ON_GPU = ("faces", "voice", "embed")
TORCH_MB = 1000.0
"""More where PyTorch runs their networks on a GPU: an estimate."""


class Network(NamedTuple):
    """A static model at the size that the paper uses.

    Args:
        size_px: side of its image.
        macs: multiplications of a forward pass.
        parameters: how many.
        trained_per_s: images a second of an RTX 3090 in training.
        seen_per_s: likewise in a forward pass.
        trained_bytes: GPU memory of an image in training, at most: 24 GB by the batch that fitted.
        seen_bytes: likewise in a forward pass.
    """

    size_px: int
    macs: float
    parameters: float
    trained_per_s: float
    seen_per_s: float
    trained_bytes: float
    seen_bytes: float


GPU_BYTES = 24e9  # of the card that timm measured
NETWORKS: dict[str, Network] = {
    "efficientnet_b1": Network(240, 0.71e9, 7.8e6, 1100, 4403, GPU_BYTES / 256, GPU_BYTES / 1024),
    "efficientnet_b4": Network(380, 4.5e9, 19.3e6, 242, 923, GPU_BYTES / 64, GPU_BYTES / 384),
    "vit_base_patch16_224": Network(224, 17.6e9, 86.6e6, 393, 1133, GPU_BYTES / 192, GPU_BYTES / 1024),
    "pose_hrnet": Network(224, 7.8e9, 41.2e6, 480, 1444, GPU_BYTES / 256, GPU_BYTES / 1024),
}
"""timm's results for an RTX 3090 (the EfficientNets with TensorFlow's padding, HRNet-W32 as a classifier)."""
FROM_MEGAPIXELS = 1.0
"""Of a picture, from which `large frame bytes` counts."""
SUBSTITUTE = "efficientnet_b1"
"""Stands, scaled by pixels, for what isn't in the table."""


def value(name: str) -> float:
    """The figure itself."""
    return COSTS[name].value


def forward_core_s(architecture: str, size_px: int) -> float:
    """Seconds of one core for a forward pass: measured for EfficientNet-B1, the others by multiplications."""
    net, _ = network(architecture, size_px)
    dense = architecture.startswith(("vit", "pose")) or "resnet" in architecture
    return net.macs / value("dense macs" if dense else "macs")


AUTHORS_MACS_PER_S = 10.2e9
"""Multiplications a second of window of the authors' wav2vec 2.0, which `sound` was measured with."""
FIRST_RATE_HZ = 16_000
WAV2VEC: Mapping[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "intermediate_size": 3072,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
"""What a configuration that doesn't say otherwise means (transformers.Wav2Vec2Config)."""


def sound_core_s(backbone: str | Mapping[str, Any]) -> float:
    """Seconds of one core for a second of window through wav2vec 2.0.

    Args:
        backbone: as `audio.backbone`: a configuration counts by its multiplications, a name as the authors'.
    """
    if isinstance(backbone, str):
        return value("sound")
    config = {**WAV2VEC, **backbone}
    rate_hz, macs, width = float(FIRST_RATE_HZ), 0.0, config["hidden_size"]
    layers = zip(
        config["conv_kernel"], config["conv_stride"], pairwise([1, *config["conv_dim"]]), strict=True
    )
    for kernel, stride, (channels_in, channels) in layers:
        rate_hz /= stride
        macs += rate_hz * kernel * channels_in * channels
    around = width**2 * config["num_conv_pos_embeddings"] / config["num_conv_pos_embedding_groups"]
    block = 4 * width**2 + 2 * width * config["intermediate_size"]
    macs += rate_hz * (around + config["num_hidden_layers"] * block)
    return value("sound") * float(macs / AUTHORS_MACS_PER_S)


def network(architecture: str, size_px: int) -> tuple[Network, Basis]:
    """A static model at a size: from the table at its own size, else scaled by the pixels.

    Returns:
        The figures at `size_px`, and what they are of a GPU.
    """
    known = NETWORKS.get(architecture)
    like = known or NETWORKS[SUBSTITUTE]
    pixels = (size_px / like.size_px) ** 2
    if known and pixels == 1:
        return known, "PUBLISHED"
    scaled = Network(
        size_px,
        like.macs * pixels,
        like.parameters,
        like.trained_per_s / pixels,
        like.seen_per_s / pixels,
        like.trained_bytes * pixels,
        like.seen_bytes * pixels,
    )
    return scaled, "PUBLISHED" if known else "ESTIMATED"
