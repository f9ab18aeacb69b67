"""The starter's model card, filled from what was measured when it was made."""

from collections.abc import Iterator, Mapping
from typing import Any

from stages.vision.doubt import COVERAGE, FULL_PX, SMALL_LEAST, WORST_SCORE_FACTOR

Figures = Mapping[str, Any]

HEAD = """---
library_name: valaro
license: other
license_name: see-the-section-licence
tags: [valence, arousal, facial-expression, affective-computing]
---

# The starter model: valence and arousal of a face, from FER+

What `valaro predict VIDEO` uses unless another model is named: a small residual network that looks at one
face at a time, trained from scratch on FER+ by this repository's own stage `pretrain`. Its valence and
arousal are an **expression-based estimate**: what ten people's votes for emotions on still pictures imply. It
has not been trained on continuous ratings, on video, or on sound.

- **Input**: a square around the face (its box and a tenth), luma, 48 x 48, each picture brought to mean 0 and
  deviation 1: colour, exposure and contrast don't matter.
- **Output**: valence and arousal from -1 to 1, the mean of a picture and its mirror image, 5 times a second;
  smoothed over 0.5 s to every frame of the video; a 90 % interval around each.
- **Made by** `valaro profile ferplus && dvc repro pretrain && python -m valaro.commands.make_starter`;
  `metrics/plots/` here has the log of that training. Seed 0; the profile `ferplus` holds every number.
"""

DATA = """## Data and derived targets

FER+ (Barsoum et al., 2016): pictures of FER2013, 48 x 48 grey, with ten votes each for neutral, happiness,
surprise, sadness, anger, disgust, fear, contempt, unknown or no face. Nobody rated valence or arousal:
both are **derived**, the mean of Russell and Mehrabian's (1977) coordinates of the emotions, weighted by the
votes (happiness .81 / .51, anger -.51 / .59, disgust -.60 / .35, fear -.64 / .60, sadness -.63 / -.27,
surprise .40 / .67, neutral 0 / 0; contempt counts for nothing; at least five votes). So no value lies outside
the hull of these seven points: calm pleasure, for one, can't come out. Pictures that stand in two parts of
FER+ were left out of the earlier part: {copies} of training and validation.
"""

FAILURES = """## Where it fails

- Rare emotions: see the recall of disgust, fear and contempt ("other") above. What they are taken for is
  mostly anger, surprise and neutral.
- People who speak: an open mouth is taken for surprise or joy, a frown of thought for anger. Smoothing helps
  a little; nothing here has learnt what speech looks like.
- Small faces: see the table by size. Under 60 px the interval widens.
- Faces in profile, covered faces, children, drawings, animals: hardly in FER+, or not at all. A low score of
  the face detector, or a nose far beside the middle of the eyes, widens the interval by rule; a confident
  mistake is not recognised.
- What an expression says of a feeling is another question. The values describe a face as others read it.
"""

UNMEASURED = """## What can't be measured with this data

- FER+ has **no identities**: the same people may stand in training and test, so no subject-independent
  figure exists. The figures above flatter by an unknown amount.
- It has **no ages, no skin tones, no sexes**: whether the model treats people alike can't be said from it.
  The pictures come from web searches in English for words of emotion; expect them to be posed, young,
  and unevenly distributed over the world.
- No picture has a time: how values change within an expression is not learnt and not measured.

Don't use it to judge, select or monitor people.
"""

LICENCE = """## Licence

FER+'s labels are under the MIT licence. The pictures of FER2013 were collected from the web without an open
licence and are offered for research; no picture is in this repository or in the file of weights. Whether
weights learnt from such pictures may be used commercially is unsettled: take advice before you do, or train
another model. Valaro's own licence covers the code and the recipe.
"""


def render_card(figures: Figures) -> str:
    """The card in Markdown.

    Args:
        figures: from `make_starter`.
    """
    copies = figures["training"]["corpora"]["ferplus"]["copies_left_out"]
    parts = [HEAD, DATA.format(copies=copies), "\n".join(_measured(figures)), FAILURES, UNMEASURED, LICENCE]
    return "\n".join(parts)


def _measured(figures: Figures) -> Iterator[str]:
    official, clean, weights = figures["official"], figures["without_copies"], figures["weights"]
    yield "## Figures"
    yield ""
    size = f"{weights['parameters'] / 1e6:.1f} million weights, {weights['bytes'] / 1e6:.1f} MB"
    yield f"{size} in half precision."
    yield "FER+'s test part, scored once, on the file as it is shipped:"
    yield ""
    yield "| test part | pictures with a winner | accuracy, 8 emotions | CCC valence | CCC arousal |"
    yield "|---|---:|---:|---:|---:|"
    for name, scores in (("official", official), ("without copies of other parts", clean)):
        ccc = f"{scores['valence_ccc']:.3f} | {scores['arousal_ccc']:.3f}"
        yield f"| {name} | {scores['named']} | {scores['accuracy']:.1%} | {ccc} |"
    yield ""
    yield "Accuracy is against the emotion with the most votes, pictures with a tie left out. CCC is against"
    yield "the derived targets: it says nothing of ratings. `docs/real-people.md` has peers, measured alike."
    yield ""
    yield from _course(figures)
    yield "Published for FER+ by majority: 83.9 % (VGG13), some 90 % (recent large models)."
    yield ""
    yield "| emotion | test pictures | recall | precision |"
    yield "|---|---:|---:|---:|"
    for name, row in figures["by_emotion"].items():
        yield f"| {name} | {row['pictures']} | {row['recall']:.0%} | {row['precision']:.0%} |"
    yield ""
    yield from _by_size(figures)


def _course(figures: Figures) -> Iterator[str]:
    trained, first = figures["training"], figures.get("first_training")
    if first is None:
        yield f"{trained['epochs']} epochs were trained; whether more would help was not tried."
        return
    yield f"{first['epochs']} epochs were trained, then {trained['epochs']} more from what these gave,"
    yield "in half precision and with a new optimiser (`profiles/ferplus.yaml` has the command). The first"
    yield f"training's model had on the official test part: {_of_test(first)}."
    yield "Whether still more would help was not tried."


def _of_test(trained: Figures) -> str:
    scores = trained["test"]["ferplus"]["official"]
    ccc = f"{scores['valence_ccc']:.3f} / {scores['arousal_ccc']:.3f}"
    return f"accuracy {scores['accuracy']:.1%}, CCC {ccc}"


def _by_size(figures: Figures) -> Iterator[str]:
    yield "By size: pictures scaled down and up again (as it is, a picture stands for a face of 60 px);"
    yield "of the smaller sizes every third picture:"
    yield ""
    yield "| face | accuracy | CCC valence | CCC arousal | half width, valence, arousal | within it |"
    yield "|---:|---:|---:|---:|---:|---:|"
    for side, row in figures["by_size"].items():
        ccc = f"{row['valence_ccc']:.3f} | {row['arousal_ccc']:.3f}"
        half, held = (" / ".join(f"{value:.2f}" for value in row[key]) for key in ("half_width", "covered"))
        yield f"| {side} px | {row['accuracy']:.1%} | {ccc} | {half} | {held} |"
    yield ""
    yield f"The interval is meant to hold {COVERAGE:.0%} of pictures like those of FER+: a quantile"
    yield "regression on the face's size, on how far apart the emotions are that the model considers, and on"
    yield "how far its two outputs disagree; calibrated on validation. Where the face detector is unsure, or"
    yield f"the face is turned away, it widens by rule, up to {WORST_SCORE_FACTOR:.0f} times. Films blur and"
    yield f"compress small faces besides: its half width is by rule at least {SMALL_LEAST} for each halving"
    yield f"below {FULL_PX:.0f} px. On ratings of other people its coverage is not known."
    yield ""
