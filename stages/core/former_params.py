"""Read parameter files of earlier versions: renamed and removed parameters, values for those added since.

Every renamed, removed or added parameter needs an entry below, so that an old file keeps its meaning; a test
reads the parameters of version 0.1 and names missing entries.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from stages.core.former_names import present_name

RENAMED_KEYS = ("fuse.voiced_window_s",)
"""Parameters (by their former name) whose last part has a new name."""
RENAMED_VALUES = ("cross_attention.silence", "submission.system")
"""Parameters whose value may be a former name."""
REMOVED_KEYS = ("intervals.share",)
"""Parameters of a fit that goes by others now. Models that were fitted by them load all the same."""

ADDED_KEYS: Mapping[str, Any] = {
    "index.lists": ".",
    "index.group_parts": False,
    "decode.keep_frames": True,
    "faces.scales": "native",
    "faces.target": "first",
    "faces.min_motion": 0.08,  # this and the next only affect other people, not the face that is followed
    "faces.min_seen_s": 1.0,
    "speech.rule": "motion",
    "speech.min_mouth_motion": 0.0,  # an open mouth was enough
    "pretrain.start": None,
    "pretrain.in_memory": False,
    "pretrain.emotion_labels": "majority",
    "pretrain.derive_valence_arousal": False,
    "pretrain.class_weights": "balanced",
    "pretrain.regression_loss": "log_cosh",
    "pretrain.batch_augmentation": None,
    "pretrain.max_validation_images": None,
    "pretrain.phases": [],
    "finetune.images_at_once": None,
    "finetune.frozen_draws": None,
    "embed.folds": 0,
    "embed.mirrored": False,
    "dynamic.missing": "as_seen",
    "crossfit": {"folds": 5, "seed": 0},  # this and intervals affect scores only, not traces
    "intervals": {
        "coverage": 0.9,
        "trees": 25,
        "depth": 2,
        "rate": 0.12,
        "min_leaf": 100,
        "rows": 4000,
        "landmarks": 2000,
        "seed": 0,
    },
    "evaluate.seeds": 1,
    "submission.refit": "none",
    "predict": {"max_gap_s": None},  # every frame had a value
}
"""Parameters that version 0.1 didn't have, with the value that gives its behaviour.

A key with a default in `stages.core.params` needs no entry. Profiles have every key.
"""


class Upgrade(NamedTuple):
    """Parameters in the form of this version.

    Args:
        content: of the file, with present names, and with a value for every added key.
        added: the keys that the file lacked.
    """

    content: Any
    added: list[str]


def upgraded(content: Any) -> Upgrade:
    """Convert the content of a parameter file of any version; content that isn't a mapping is unchanged."""
    content, added = deepcopy(content), []
    for key in RENAMED_KEYS:
        for section, name in _section_of(content, key):
            if name in section and present_name(name) not in section:
                section[present_name(name)] = section.pop(name)
    for key in RENAMED_VALUES:
        for section, name in _section_of(content, key):
            if isinstance(section.get(name), str):
                section[name] = present_name(section[name])
    for key in REMOVED_KEYS:
        for section, name in _section_of(content, key):
            section.pop(name, None)
    for key, value in ADDED_KEYS.items():
        for section, name in _section_of(content, key):
            if name not in section:
                section[name] = deepcopy(value)
                added.append(key)
    return Upgrade(content, added)


def _section_of(content: Any, key: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the mapping of a key and the last part of the key; nothing if there is no such mapping."""
    *path, name = key.split(".")
    for part in path:
        content = content.get(part) if isinstance(content, dict) else None
    if isinstance(content, dict):
        yield content, name
