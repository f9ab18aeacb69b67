"""Model cards in Hugging Face's format: data, scores, output, parameters, licences and limits of a system.

All figures in a card come from the run. Format: https://huggingface.co/docs/hub/model-cards
"""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stages.core.measures import SCORED
from stages.exports.trace import one_line

PROTOCOLS = {
    "train": "on its training data: optimistic",
    "as_published": "selected and scored on the same recordings, as in the paper: optimistic",
    "out_of_fold": "each recording is scored by a model that other recordings selected",
}
"""Protocol of the evaluation -> its meaning."""
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
    "Further columns: the frame's time in seconds, `detected` (the face was found at that time; in short",
    "gaps the last face seen is used) and `speaking` (there is sound, and the mouth moves).",
)


class Part(NamedTuple):
    """One file of weights: its path in the folder, its number of parameters, and its MD5."""

    file: str
    numbers: int
    md5: str


class Upstream(NamedTuple):
    """Third-party data or model: its name, its licence, and its role (and whether the folder has it)."""

    name: str
    licence: str
    role: str


class Measured(NamedTuple):
    """A metric of the training: name, value, and its epoch, counted from 1; None without an epoch."""

    name: str
    value: float
    epoch: int | None = None


@dataclass(frozen=True)
class Split:
    """Size of one split of a corpus."""

    subjects: int
    hours: float
    labelled_frames: int


@dataclass(frozen=True)
class Card:
    """The content of a card.

    Args:
        system: name of the system, the fusion or the single model.
        parts: its files.
        corpus: the corpus it was trained on.
        splits: split of the corpus -> its size; empty if the index is missing.
        scores: protocol -> `ccc` and `rmse`, as the evaluation writes them; empty if it hasn't run.
        confidence: level of the intervals, 0 to 1.
        params: the sections of the parameters that it was made with.
        upstream: third-party data and models.
        licence: licence of the weights, as the Hugging Face hub names it.
        base_models: names on the hub.
        notice: a sentence that every output of the system must carry; "" for none.
        version: version of valaro.
        learnt: a sentence on how the corpus was used.
        seen: sizes of the training data, e.g. `train images`.
        measured: metrics on validation during training; these have no interval.
        chosen: a sentence on what `measured` was computed on and what was selected by it.
        use: how to run it, in Markdown.
        output: range and order of its output, in Markdown.
        task: the task's name on the hub.
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
        """The protocol of the score in the front matter, preferably out of fold; None without a score."""
        return next((name for name in ("out_of_fold", "as_published") if name in self.scores), None)


def render(card: Card) -> str:
    """The card as Markdown, with YAML front matter."""
    import yaml

    sections = (_title, _use, _data, _scores, _output, _parameters, _licences, _limits)
    body = "\n\n".join("\n".join(section(card)) for section in sections)
    front = yaml.safe_dump(front_matter(card), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{body}\n"


def front_matter(card: Card) -> dict[str, Any]:
    """The front matter, which the Hugging Face hub indexes."""
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
        "dataset": {"type": one_line(card.corpus), "name": one_line(card.corpus), "split": "validation"},
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
        yield "This is one of the models that together form such a system."
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
        yield f"Training data: {', '.join(f'{count} {name}' for name, count in card.seen.items())}."
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
        yield ("This system" if card.complete else "This model by itself") + " hasn't been evaluated."
    else:
        yield from _evaluated(card)
    if card.chosen:
        yield ""
        yield card.chosen
    if card.measured:
        yield ""
        yield "| during training | value | epoch |"
        yield "|---|---:|---:|"
        for name, value, epoch in card.measured:
            yield f"| {name} | {value:.3f} | {epoch or '—'} |"
        yield ""
        yield "These have no interval."


def _evaluated(card: Card) -> Iterator[str]:
    yield "CCC over all labelled frames of a split concatenated, also without speech or face; in brackets the"
    yield f"{card.confidence:.0%} interval by a bootstrap over recordings."
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
    yield "| file | weights | MD5 |"
    yield "|---|---:|---|"
    for part in card.parts:
        yield f"| `{part.file}` | {part.numbers:,} | `{part.md5}` |"
    yield ""
    yield "They were made with these parameters (`params.yaml` has all):"
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
    yield "| third party | licence | role |"
    yield "|---|---|---|"
    for one in card.upstream:
        yield f"| {plain(one.name)} | {one.licence} | {one.role} |"
    yield ""
    yield "The code is MIT. The weights are bound by the licences of the data and models behind them."


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
        yield "- In gaps up to `predict.max_gap_s` the last face seen is used; `detected` marks these frames."
        yield "- One person per video, the most prominent one unless `--person` names another."
    else:
        yield "- One part of a system: its input must be prepared as in training, with these parameters."
    yield from (
        "- Not for decisions about single people: hiring, schooling, policing, health, credit. In the",
        "  European Union, inferring emotions at work and in education is prohibited (AI Act, article 5).",
    )


def plain(text: str) -> str:
    """Text from data, escaped so that Markdown shows it literally: neither markup nor HTML."""
    return re.sub(r"([\\`*\[\]|])", r"\\\1", html.escape(one_line(text), quote=False))


def code(text: str) -> str:
    """Text from data as a code span, whatever characters it has."""
    line = one_line(text)
    ticks = "`" * (1 + _longest_run(line))
    space = " " if "`" in line else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def _longest_run(text: str) -> int:
    """Length of the longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)
