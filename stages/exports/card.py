"""Model cards in Hugging Face's format: what a trained system is, learnt from, reaches, and may be used for.

Everything in a card comes from the run: https://huggingface.co/docs/hub/model-cards
"""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stages.core.measures import SCORED
from stages.exports.trace import printable

PROTOCOLS = {
    "train": "on what it learnt from: optimistic",
    "as_published": "what validation picks is scored on the same recordings, as in the paper: optimistic",
    "out_of_fold": "each recording is scored by what other recordings picked",
}
"""What the evaluation's protocols mean."""
TAGS = ("emotion-recognition", "valence-arousal", "affective-computing")
SYSTEM_USE = (
    "```",
    "valaro predict VIDEO --model THIS_FOLDER --out traces",
    "```",
)
VALENCE_AROUSAL = (
    "1. `valence`: -1 unpleasant, 1 pleasant.",
    "2. `arousal`: -1 calm, 1 excited.",
)
SYSTEM_OUTPUT = (
    "Two values for every native frame, in this order, both from -1 to 1:",
    "",
    *VALENCE_AROUSAL,
    "",
    "With them come the frame's time in seconds, `detected` (a face was found; elsewhere the last one",
    "stands in) and `speaking` (the person seems to speak).",
)


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


class Measured(NamedTuple):
    """A figure that training left: its name, and the epoch it belongs to, counted from 1; None without."""

    name: str
    value: float
    epoch: int | None = None


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
        system: the system, fusion of systems, or single model.
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
        learnt: in a sentence, how the corpus was used.
        seen: what it learnt from, counted: `train images`.
        measured: on validation while it was trained; these have no interval.
        chosen: in a sentence, what the figures of `measured` were taken on, and what was chosen by them.
        use: how to run it, in Markdown.
        output: range and order of what it says, in Markdown.
        task: as the hub names it.
        complete: whether it turns a video into a trace by itself.
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
    learnt: str = ""
    seen: Mapping[str, int] = field(default_factory=dict)
    measured: Sequence[Measured] = ()
    chosen: str = ""
    use: Sequence[str] = SYSTEM_USE
    output: Sequence[str] = SYSTEM_OUTPUT
    task: str = "video-classification"
    complete: bool = True

    @property
    def claimed(self) -> str | None:
        """The protocol of the figure that the card claims; None without one."""
        return next((name for name in ("out_of_fold", "validation") if name in self.scores), None)


def render(card: Card) -> str:
    """The card as Markdown, its facts for machines in front as YAML."""
    import yaml

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
        "pipeline_tag": card.task,
        "tags": [*TAGS, card.system.replace("/", "-")],
    }
    if card.base_models:
        facts["base_model"] = list(card.base_models)
    if card.claimed:
        facts["metrics"] = ["ccc"]
        facts["model-index"] = [{"name": f"valaro {card.system}", "results": [_result(card, card.claimed)]}]
    return facts


def _result(card: Card, protocol: str) -> dict[str, Any]:
    figures = card.scores[protocol]["ccc"]
    return {
        "task": {"type": card.task, "name": "valence and arousal, frame by frame"},
        "dataset": {"type": printable(card.corpus), "name": printable(card.corpus), "split": "validation"},
        "metrics": [
            {
                "type": "ccc",
                "name": f"CCC, {target} ({protocol})",
                "value": round(figures[target]["value"], 4),
            }
            for target in SCORED
        ],
    }


def _title(card: Card) -> Iterator[str]:
    yield f"# Valaro: {plain(card.system)}"
    yield ""
    yield "Valence and arousal, frame by frame, from ordinary video."
    if not card.complete:
        yield "This is one of the models that do so together."
    if card.notice:
        yield ""
        yield f"**{card.notice[0].upper()}{card.notice[1:]}.**"


def _use(card: Card) -> Iterator[str]:
    yield "## Use"
    yield ""
    yield from card.use
    yield ""
    yield f"Made by valaro {card.version}. The weights are safetensors: no code runs when they are loaded."


def _data(card: Card) -> Iterator[str]:
    yield "## Data"
    yield ""
    yield card.learnt or f"Trained and validated on {code(card.corpus)}, split by subject."
    if card.seen:
        yield f"It saw {', '.join(f'{count} {name}' for name, count in card.seen.items())}."
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
        yield ("This system" if card.complete else "By itself this model") + " hasn't been evaluated."
    else:
        yield from _evaluated(card)
    if card.chosen:
        yield ""
        yield card.chosen
    if card.measured:
        yield ""
        yield "| while it was trained | value | epoch |"
        yield "|---|---:|---:|"
        for name, value, epoch in card.measured:
            yield f"| {name} | {value:.3f} | {epoch or '—'} |"
        yield ""
        yield "These have no interval: nothing was resampled."


def _evaluated(card: Card) -> Iterator[str]:
    yield "CCC over all labelled frames of a split concatenated, silence and lost faces included; in brackets"
    yield f"the {card.confidence:.0%} interval by a bootstrap over videos."
    yield ""
    yield "| protocol | valence | arousal | mean | RMSE, mean |"
    yield "|---|---|---|---|---:|"
    for protocol, figures in card.scores.items():
        cells = [_with_interval(figures["ccc"][target]) for target in SCORED]
        yield f"| {protocol} | {' | '.join(cells)} | {figures['rmse']['mean']:.3f} |"
    yield ""
    for protocol in card.scores:
        yield f"- `{protocol}`: {PROTOCOLS[protocol]}."


def _with_interval(figure: Mapping[str, float]) -> str:
    interval = f" [{figure['low']:.3f}, {figure['high']:.3f}]" if "low" in figure else ""
    return f"{figure['value']:.3f}{interval}"


def _output(card: Card) -> Iterator[str]:
    yield "## Output"
    yield ""
    yield from card.output


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
    import yaml

    text = yaml.safe_dump(dict(card.params), sort_keys=False, allow_unicode=True).rstrip()
    fence = "`" * max(3, 1 + _longest_run(text))
    yield f"{fence}yaml"
    yield text
    yield fence


def _licences(card: Card) -> Iterator[str]:
    yield "## Licences"
    yield ""
    yield "| of others | terms | role |"
    yield "|---|---|---|"
    for one in card.upstream:
        yield f"| {plain(one.name)} | {one.licence} | {one.role} |"
    yield ""
    yield "The code is MIT. The weights can't be freer than what they were made from."


def _limits(card: Card) -> Iterator[str]:
    yield from (
        "## Intended use and limits",
        "",
        "For research on affect in video: annotation aids, group-level analyses, comparison of methods.",
        "",
        "- It estimates how observers would rate an expression, not what somebody feels.",
        "- Labels come from few annotators of public videos. Age, skin tone, culture, glasses, masks,",
        "  illness and unusual cameras can shift the values; none of that has been measured here.",
    )
    if card.complete:
        yield "- Frames without a detected face repeat the last one seen: leave them out by `detected`."
        yield "- One person per video: the one found first is followed."
    else:
        yield "- One part of a system: what it is given must be prepared as in training, by these parameters."
    yield from (
        "- Not for decisions about single people: hiring, schooling, policing, health, credit. In the",
        "  European Union, inferring emotions at work and in education is prohibited (AI Act, article 5).",
    )


def plain(text: str) -> str:
    """A text from data as Markdown shows it, character by character: neither markup nor HTML."""
    return re.sub(r"([\\`*\[\]|])", r"\\\1", html.escape(printable(text), quote=False))


def code(text: str) -> str:
    """A text from data as a span of code, whatever it holds."""
    line = printable(text)
    ticks = "`" * (1 + _longest_run(line))
    space = " " if "`" in line else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def _longest_run(text: str) -> int:
    """Of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)
