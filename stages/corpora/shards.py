"""Group samples into shards, which are computed, cached and stored together."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from stages.corpora.table import Sample

PICTURES_PER_SHARD = 1000


def shards(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Shard -> its samples: one shard per video; pictures in shards of about 500 to 1000.

    The shard of a picture depends on the hash of its name and on the number of shards, a power of two. A new
    picture therefore changes one shard only, until the number of shards doubles. Within a shard, samples are
    ordered by source.
    """
    ordered = sorted(samples, key=lambda sample: (sample.source, sample.position or 0))
    pictures = [sample for sample in ordered if sample.time_s is None]
    portions = 1
    while portions * PICTURES_PER_SHARD < len(pictures):
        portions *= 2
    found: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in ordered:
        name = _of_video(sample.source) if sample.time_s is not None else _of_picture(sample, portions)
        found[name].append(sample)
    return dict(found)


def _of_picture(sample: Sample, portions: int) -> str:
    digits = len(str(portions - 1))
    number = _hash(f"{sample.source} {sample.position}") % portions
    return f"pictures-{number:0{digits}d}-of-{portions}"


def _of_video(source: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", PurePosixPath(source).stem)[:60]
    return f"video-{readable}-{_hash(source):016x}"


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:8], "big")
