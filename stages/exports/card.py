"""Model cards in Hugging Face's format: what a trained system is, learnt from, reaches, and may be used for.

Everything in a card comes from the run: https://huggingface.co/docs/hub/model-cards
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from stages.exports.trace import printable

TARGETS = ("valence", "arousal", "mean")
PROTOCOLS = {
    "train": "on what it learnt from: optimistic",
    "validation": "videos that its early stopping has seen",
    "validation_paper": "fusion fitted and scored on the same videos, as in the paper: optimistic",
    "validation_grouped": "each video fused by what other videos taught: the honest figure",
}
"""What the evaluation's protocols mean."""


class Part(NamedTuple):
    """One file of weights: its path in the folder, how many numbers it holds, and its MD5."""

    file: str
    numbers: int
    md5: str


class Upstream(NamedTuple):
    """Something of others in the system: what, under which terms, and whether the folder holds it."""

    name: str
    licence: str
    role: str


@dataclass(frozen=True)
class Split:
    """How much of a corpus one split is."""

    subjects: int
    hours: float
    labelled_frames: int


@dataclass(frozen=True)
class Card:
    """What a card says.

    Args:
        system: the system, or fusion of systems.
        parts: its files.
        corpus: where it learnt.
        splits: of the corpus, by name; none where the index isn't at hand.
        scores: protocol -> `ccc` and `rmse`, as the evaluation writes them; none where it hasn't run.
        confidence: of the intervals.
        params: the sections of the parameters that made it.
        upstream: what it owes to others.
        licence: of the weights, as the hub names it.
        base_models: on the hub.
        notice: a sentence that everything of the system must carry; "" for none.
        version: of valaro.
    """

    system: str
    parts: Sequence[Part]
    corpus: str
    splits: Mapping[str, Split]
    scores: Mapping[str, Any]
    confidence: float
    params: Mapping[str, Any]
    upstream: Sequence[Upstream]
    licence: str
    base_models: Sequence[str]
    notice: str
    version: str

    @property
    def honest(self) -> str | None:
        """The protocol that an honest figure comes from; None without one."""
        return next((name for name in ("validation_grouped", "validation") if name in self.scores), None)


def render(card: Card) -> str:
    """The card as Markdown, its facts for machines in front as YAML."""
    sections = (_title, _use, _data, _scores, _output, _parameters, _licences, _limits)
    body = "\n\n".join("\n".join(section(card)) for section in sections)
    front = yaml.safe_dump(front_matter(card), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{body}\n"


def front_matter(card: Card) -> dict[str, Any]:
    """What the hub indexes."""
    facts: dict[str, Any] = {"license": card.licence}
    if card.licence == "other":
        facts |= {"license_name": "research-only", "license_link": "README.md#licences"}
    facts |= {
        "library_name": "valaro",
        "pipeline_tag": "video-classification",
        "tags": ["emotion-recognition", "valence-arousal", "affective-computing", card.system],
    }
    if card.base_models:
        facts["base_model"] = list(card.base_models)
    if card.honest:
        facts["metrics"] = ["ccc"]
        facts["model-index"] = [{"name": f"valaro {card.system}", "results": [_result(card, card.honest)]}]
    return facts


def _result(card: Card, protocol: str) -> dict[str, Any]:
    figures = card.scores[protocol]["ccc"]
    return {
        "task": {"type": "video-classification", "name": "valence and arousal, frame by frame"},
        "dataset": {"type": printable(card.corpus), "name": printable(card.corpus), "split": "validation"},
        "metrics": [
            {
                "type": "ccc",
                "name": f"CCC, {target} ({protocol})",
                "value": round(figures[target]["value"], 4),
            }
            for target in TARGETS
        ],
    }


def _title(card: Card) -> Iterator[str]:
    yield f"# Valaro: {card.system}"
    yield ""
    yield "Valence and arousal, frame by frame, from ordinary video."
    if card.notice:
        yield ""
        yield f"**{card.notice[0].upper()}{card.notice[1:]}.**"


def _use(card: Card) -> Iterator[str]:
    yield "## Use"
    yield ""
    yield "```"
    yield "valaro predict VIDEO --model THIS_FOLDER --out traces"
    yield "```"
    yield ""
    yield f"Made by valaro {card.version}. The weights are safetensors: no code runs when they are loaded."


def _data(card: Card) -> Iterator[str]:
    yield "## Data"
    yield ""
    yield f"Trained and validated on `{printable(card.corpus)}`, split by subject."
    if card.splits:
        yield ""
        yield "| split | subjects | hours | labelled frames |"
        yield "|---|---:|---:|---:|"
        for name, split in card.splits.items():
            yield f"| {name} | {split.subjects} | {split.hours:.2f} | {split.labelled_frames} |"


def _scores(card: Card) -> Iterator[str]:
    yield "## Scores"
    yield ""
    if not card.scores:
        yield "This system hasn't been evaluated."
        return
    yield "CCC over all labelled frames of a split concatenated, silence and lost faces included; in brackets"
    yield f"the {card.confidence:.0%} interval by a bootstrap over videos."
    yield ""
    yield "| protocol | valence | arousal | mean | RMSE, mean |"
    yield "|---|---|---|---|---:|"
    for protocol, figures in card.scores.items():
        cells = [_with_interval(figures["ccc"][target]) for target in TARGETS]
        yield f"| {protocol} | {' | '.join(cells)} | {figures['rmse']['mean']:.3f} |"
    yield ""
    for protocol in card.scores:
        yield f"- `{protocol}`: {PROTOCOLS[protocol]}."


def _with_interval(figure: Mapping[str, float]) -> str:
    interval = f" [{figure['low']:.3f}, {figure['high']:.3f}]" if "low" in figure else ""
    return f"{figure['value']:.3f}{interval}"


def _output(_card: Card) -> Iterator[str]:
    yield "## Output"
    yield ""
    yield "Two values for every native frame, in this order, both from -1 to 1:"
    yield ""
    yield "1. `valence`: -1 unpleasant, 1 pleasant."
    yield "2. `arousal`: -1 calm, 1 excited."
    yield ""
    yield "With them come the frame's time in seconds, `detected` (a face was found; elsewhere the last one"
    yield "stands in) and `voiced` (the person seems to speak)."


def _parameters(card: Card) -> Iterator[str]:
    yield "## Parameters"
    yield ""
    yield "| file | numbers | MD5 |"
    yield "|---|---:|---|"
    for part in card.parts:
        yield f"| `{part.file}` | {part.numbers:,} | `{part.md5}` |"
    yield ""
    yield "What made them (`params.yaml` has everything):"
    yield ""
    yield "```yaml"
    yield yaml.safe_dump(dict(card.params), sort_keys=False, allow_unicode=True).rstrip()
    yield "```"


def _licences(card: Card) -> Iterator[str]:
    yield "## Licences"
    yield ""
    yield "| of others | terms | role |"
    yield "|---|---|---|"
    for one in card.upstream:
        yield f"| {printable(one.name)} | {one.licence} | {one.role} |"
    yield ""
    yield "The code is MIT. The weights can't be freer than what they were made from."


def _limits(_card: Card) -> Iterator[str]:
    yield from (
        "## Intended use and limits",
        "",
        "For research on affect in video: annotation aids, group-level analyses, comparison of methods.",
        "",
        "- It estimates how observers would rate an expression, not what somebody feels.",
        "- Labels come from few annotators of public videos. Age, skin tone, culture, glasses, masks,",
        "  illness and unusual cameras can shift the values; none of that has been measured here.",
        "- Frames without a detected face repeat the last one seen: leave them out by `detected`.",
        "- One person per video: the one found first is followed.",
        "- Not for decisions about single people: hiring, schooling, policing, health, credit. In the",
        "  European Union, inferring emotions at work and in education is prohibited (AI Act, article 5).",
    )
