"""RetinaFace as an OpenVINO graph: the same network, for processors.

The layers of `RetinaFaceNet` are laid out with free height and width, in float32. One frame at a time and one
thread each the graph needs little more than half of PyTorch's processor time, as its convolutions keep their
channels blocked and their activations in the cache; the answers differ by 1e-5.
"""

from functools import reduce
from typing import Any

import numpy as np
import openvino
import torch
from openvino import opset13 as ops
from openvino.preprocess import ColorFormat, PrePostProcessor
from torch import Tensor, nn

from stages.vision.retinaface_net import BGR_MEAN, ContextModule, FeaturePyramid, RetinaFaceNet

Node = Any


class OfFrames(nn.Module):
    """The network, of frames as they are decoded.

    Shape: (B, H, W, 3) uint8 RGB -> face logit difference (B, A), box offsets (B, A, 4), landmark offsets
    (B, A, 10).

    Args:
        net: with batch norms folded (`load_retinaface`).
    """

    def __init__(self, net: RetinaFaceNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        bgr = frames.flip(-1).float() - frames.new_tensor(BGR_MEAN, dtype=torch.float32)
        answers: tuple[Tensor, Tensor, Tensor] = self.net(bgr.permute(0, 3, 1, 2))
        return answers


def lay_out(module: OfFrames) -> openvino.Model:
    """OpenVINO's model of it, of one frame at a time, of any size.

    Raises:
        TypeError: a layer is of a kind that the network has none of.
    """
    image = ops.parameter([1, 3, -1, -1], np.float32, "image")
    graph = PrePostProcessor(openvino.Model(_answers(module.net, image), [image], "retinaface"))
    given = graph.input()
    given.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    given.tensor().set_color_format(ColorFormat.RGB)
    given.model().set_layout(openvino.Layout("NCHW"))
    steps = given.preprocess().convert_element_type(openvino.Type.f32).convert_color(ColorFormat.BGR)
    steps.mean(list(BGR_MEAN))
    return graph.build()


def _answers(net: RetinaFaceNet, image: Node) -> list[Node]:
    fine = _layers(net.body.stage1, image)
    middle = _layers(net.body.stage2, fine)
    pyramid = _pyramid(net.fpn, fine, middle, _layers(net.body.stage3, middle))
    maps = [_context(ssh, level) for ssh, level in zip((net.ssh1, net.ssh2, net.ssh3), pyramid, strict=True)]
    logits, boxes, landmarks = (
        ops.concat([_head(head, level) for head, level in zip(heads, maps, strict=True)], 1)
        for heads in (net.ClassHead, net.BboxHead, net.LandmarkHead)
    )
    background, face = (ops.gather(logits, np.int32(k), np.int32(2)) for k in (0, 1))
    return [ops.subtract(face, background), boxes, landmarks]


def _pyramid(fpn: FeaturePyramid, fine: Node, middle: Node, coarse: Node) -> tuple[Node, Node, Node]:
    coarse, middle, fine = (
        _layers(layers, level)
        for layers, level in zip((fpn.output3, fpn.output2, fpn.output1), (coarse, middle, fine), strict=True)
    )
    middle = _layers(fpn.merge2, ops.add(middle, _enlarge(coarse, middle)))
    fine = _layers(fpn.merge1, ops.add(fine, _enlarge(middle, fine)))
    return fine, middle, coarse


def _context(ssh: ContextModule, features: Node) -> Node:
    shared = _layers(ssh.conv5X5_1, features)
    fields = [
        _layers(ssh.conv3X3, features),
        _layers(ssh.conv5X5_2, shared),
        _layers(ssh.conv7x7_3, _layers(ssh.conv7X7_2, shared)),
    ]
    return ops.relu(ops.concat(fields, 1))


def _head(head: Any, features: Node) -> Node:  # a `Head`, out of a ModuleList
    by_cell = ops.transpose(_convolution(head.conv1x1, features), np.array([0, 2, 3, 1]))
    return ops.reshape(by_cell, np.array([1, -1, head.values]), special_zero=False)


def _enlarge(coarse: Node, like: Node) -> Node:
    """Nearest cell, rounded down, as PyTorch does it."""
    size = ops.gather(ops.shape_of(like), np.array([2, 3]), np.int64(0))
    return ops.interpolate(
        coarse,
        size,
        "nearest",
        "sizes",
        axes=np.array([2, 3]),
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _layers(block: nn.Module, node: Node) -> Node:
    return reduce(lambda node, layer: _layer(layer, node), block.children(), node)


def _layer(layer: nn.Module, node: Node) -> Node:
    match layer:
        case nn.Sequential():
            return _layers(layer, node)
        case nn.Conv2d():
            return _convolution(layer, node)
        case nn.LeakyReLU():
            return ops.prelu(node, ops.constant(np.array([layer.negative_slope], np.float32)))
        case nn.Identity():
            return node
    raise TypeError(f"no OpenVINO operation for {layer}")


def _convolution(layer: nn.Conv2d, node: Node) -> Node:
    weight, bias = (tensor.numpy() for tensor in layer.parameters())  # a folded batch norm left a bias
    bias = bias.reshape(1, -1, 1, 1)
    around = [int(pad) for pad in layer.padding]  # never one of PyTorch's names for padding
    geometry = (list(layer.stride), around, around, list(layer.dilation))
    if layer.groups == 1:
        return ops.add(ops.convolution(node, ops.constant(weight), *geometry), ops.constant(bias))
    by_group = weight.reshape(layer.groups, -1, *weight.shape[1:])
    return ops.add(ops.group_convolution(node, ops.constant(by_group), *geometry), ops.constant(bias))
