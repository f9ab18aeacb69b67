"""What was found in a corpus, in a line or two for the console, and what of its edition is missing."""

from collections.abc import Sequence
from pathlib import Path

from stages.core.corpus import SPLITS
from stages.layouts.editions import KNOWN, Edition, edition_of, ordinal
from stages.layouts.texts import Texts


def describe(corpus: Path, texts: Texts, annotations: Sequence[int], videos: int) -> list[str]:
    """What was found, in words, and what is missing of what the edition should hold.

    Args:
        corpus: its folder; paths are given from there.
        texts: the files that were chosen.
        annotations: how many names there are in train, validation and test.
        videos: how many files they have.
    """
    paths = [path.relative_to(corpus) for path in (texts.root, texts.sample_file, texts.test_list) if path]
    number = edition_of(*paths)
    found = " / ".join(map(str, annotations))
    lines = [f"{found} annotations, {videos} videos" + (f" ({ordinal(number)} ABAW)" if number else "")]
    known = KNOWN.get(number or 0)
    if known and (missing := _missing(known, annotations, videos)):
        whole = " / ".join(map(str, known.annotations))
        lines.append(
            f"the {ordinal(number or 0)} ABAW has {whole} of {known.videos} videos; missing: {missing}"
        )
    lines.append(f"labels in {texts.root.relative_to(corpus)}; " + "; ".join(_lists(corpus, texts)))
    return lines


def _missing(known: Edition, annotations: Sequence[int], videos: int) -> str:
    parts = [
        (whole - there, f"{split} annotations")
        for split, whole, there in zip(SPLITS, known.annotations, annotations, strict=True)
    ]
    return ", ".join(
        f"{short} {what}" for short, what in (*parts, (known.videos - videos, "videos")) if short > 0
    )


def _lists(corpus: Path, texts: Texts) -> list[str]:
    return [
        f"{what}: {path.relative_to(corpus) if path else 'none'}"
        for what, path in (("test list", texts.test_list), ("sample submission", texts.sample_file))
    ]
