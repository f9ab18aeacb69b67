"""The same input gives the same bytes: training from scratch, and any number of worker processes."""

from collections.abc import Callable
from typing import Any

import pytest

from stages.core.artefacts import remove

pytestmark = pytest.mark.slow

Computed = Callable[[str], dict[str, tuple[int, int]]]

TRAINED = {
    "finetune test_resnet": ("models/static/test_resnet.safetensors", "metrics/finetune"),
    "train_dynamic": ("models/dynamic", "metrics/dynamic"),
    "train_audio v3": ("models/audio/v3.safetensors", "metrics/audio/v3"),
    "train_cross_attention": ("models/cross_attention", "metrics/cross_attention"),
}
PER_VIDEO = ("index", "decode", "faces", "mouth", "voice", "speech")


def forget(project: Any, *results: str) -> None:
    """No memory of any computation, and no results of the one to come."""
    for path in (".valaro", ".dvc/cache", *results):
        remove(project / path)


@pytest.mark.parametrize("stage", TRAINED)
def test_training_twice_from_scratch_gives_the_same_bytes(
    project: Any, computed: Computed, stage: str
) -> None:
    results = TRAINED[stage]
    first = project.digests(*results)
    assert len(first) >= 3, "weights, figures, curves"
    forget(project, *results)
    assert not any((project / result).exists() for result in results)
    name, *arguments = stage.split()
    assert computed(project.stage(name, *arguments)) == {name: (1, 0)}
    assert project.digests(*results) == first


def test_worker_processes_change_no_byte(project: Any, computed: Computed) -> None:
    """Some workers are new to their second video: nothing may stay with a worker from its first."""
    results = [f"data/{stage}" for stage in PER_VIDEO]
    first = project.digests(*results)
    project.set({"compute": {"jobs": 2}})
    forget(project, *results)
    for stage in PER_VIDEO:
        (counts,) = computed(project.stage(stage)).values()
        assert counts[0] > 1
        assert counts[1] == 0
    assert project.digests(*results) == first
