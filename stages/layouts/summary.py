"""Console lines on a corpus: what was found, and what is missing from its edition."""

from collections.abc import Sequence
from pathlib import Path

from stages.core.corpus import SPLITS
from stages.layouts.editions import KNOWN, Edition, edition_of, ordinal
from stages.layouts.texts import Texts


def describe(corpus: Path, texts: Texts, annotations: Sequence[int], videos: int) -> list[str]:
    """Lines on what was found, and on what is missing from the edition.

    Args:
        corpus: folder of the corpus; paths are printed relative to it.
        texts: the chosen text files.
        annotations: number of names in train, validation and test.
        videos: number of their video files.
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
