"""What the pages name exists: parameters and their values, files, stages, commands with their options, links."""

import ast
import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.cli.parser import get_main_parser
from typer.main import get_command

from stages.core.params import Params
from valaro.cli import app
from valaro.commands.sweep import SWEEPS

REPOSITORY = Path(__file__).resolve().parents[3]
PAGES = sorted((REPOSITORY / "docs").glob("*.md"))
DAG: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARAMETER = re.compile(rf"(?P<key>({'|'.join(Params.model_fields)})(\.\w+)+)(: (?P<value>.+))?")
NO_KEY = ("html", "json", "py", "h5", "csv", "md", "yaml")
COMMAND = re.compile(r"(dvc|valaro|make|python -m) ")
CODE, MADE = ("stages/", "tests/", "profiles/", "docs/"), ("data/", "models/", "metrics/")
EXAMPLES = {
    "smooth.delay_s",  # what the pages' own examples, tested in test_examples.py, add
    "stages/vision/plain_model.py",
    "stages/vision/middle_detector.py",
    "stages/fusion/plain_mean.py",
    "stages/exports/plain_text.py",
    "stages/layouts/beside.py",
    "finetune@convnext_tiny",
    "finetune@plain",
    "data/mine",
    "data/affwild2",
    "models/pretrained/convnext_tiny.fb_in1k.safetensors",
}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@cache
def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def spans(page: Path) -> list[str]:
    """Everything set in code within the prose."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def commands(page: Path) -> Iterator[list[str]]:
    """Every command on a page, in words."""
    fenced = [line for language, code in FENCE.findall(page.read_text(encoding="utf-8"))
              if language in ("", "bash") for line in code.splitlines()]  # fmt: skip
    for line in [*spans(page), *fenced]:
        if COMMAND.match(line):
            yield shlex.split(line, comments=True)


def written_by(stage: dict[str, Any]) -> list[str]:
    """What a stage writes by dvc.yaml, `*` for names that come from parameters."""
    entries = [entry for kind in ("outs", "metrics") for entry in stage.get(kind, [])]
    return [re.sub(r"\$\{[^}]*\}", "*", e if isinstance(e, str) else next(iter(e))) for e in entries]


@cache
def outputs() -> list[str]:
    """What all stages write, by dvc.yaml."""
    return [place for stage in DAG.values() for place in written_by(stage)]


@cache
def told() -> list[str]:
    """What all stages say that they write, in their docstrings; `*` for names."""
    found = []
    for file in (REPOSITORY / "stages").glob("*.py"):
        writes = (
            (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "")
            .partition("\nWrites ")[2]
            .partition("\n\n")[0]
        )
        found += re.findall(r"(?:^|\s)((?:data|models|metrics)/\S+)", writes, re.MULTILINE)
    return [re.sub(r"<[^>]*>", "*", place).rstrip("/") for place in found]


def profile(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((REPOSITORY / "profiles" / f"{name}.yaml").read_text("utf-8"))
    return content


def is_parameter(key: str) -> bool:
    """Whether a profile has this dotted key."""
    for name in ("affwild2", "sample"):
        level: Any = profile(name)
        for part in key.split("."):
            level = level.get(part, KeyError) if isinstance(level, dict) else KeyError
        if level is not KeyError:
            return True
    return False


def set_parameters(values: dict[str, str]) -> None:
    """Put values into the paper's profile; pydantic raises where they aren't legal together."""
    params = profile("affwild2")
    for key, value in values.items():
        *path, last = key.split(".")
        level = params
        for part in path:
            level = level[part]
        level[last] = yaml.safe_load(value)
    Params.model_validate(params)


def test_the_index_names_every_page() -> None:
    index = (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.name not in index and page.name != "README.md"] == []


@pages
def test_internal_links_lead_somewhere(page: Path) -> None:
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", prose(page))]
    inside = [target for target in targets if target and "://" not in target]
    assert [target for target in inside if not (page.parent / target).exists()] == []


@pages
def test_parameters_exist_and_values_are_legal(page: Path) -> None:
    for span in spans(page):
        found = PARAMETER.fullmatch(span)
        if not found or span.rsplit(".", 1)[-1] in NO_KEY or found["key"] in EXAMPLES:
            continue
        assert is_parameter(found["key"]), span
        if found["value"]:
            set_parameters({found["key"]: found["value"]})


def meet(path: str, made: str) -> bool:
    """Whether one of two paths is the other, or lies in it; `*` stands for any name."""
    pairs = zip(path.strip("/").split("/"), made.split("/"), strict=False)
    return all(fnmatch(ours, theirs) or fnmatch(theirs, ours) for ours, theirs in pairs)


@pages
def test_files_exist_or_are_made_by_a_stage(page: Path) -> None:
    for path in (span for span in spans(page) if span.startswith((*CODE, *MADE))):
        pattern = re.sub(r"<[^>]*>", "*", path)
        if path.startswith(CODE) or path.endswith(".md"):
            assert path in EXAMPLES or list(REPOSITORY.glob(pattern)), path
        elif (REPOSITORY / path).is_symlink():  # models/starter, to what lies in valaro/
            assert (REPOSITORY / path).exists(), path
        elif path.rstrip("/") not in EXAMPLES and not path.startswith(str(SWEEPS)):
            assert any(meet(pattern, made) for made in [*outputs(), *told()]), path


def test_every_output_is_described() -> None:
    described = [re.sub(r"<[^>]*>", "*", span) for span in spans(REPOSITORY / "docs" / "artefacts.md")]
    places = [span for span in described if span.startswith(MADE)]
    assert [made for made in outputs() if not any(meet(place, made) for place in places)] == []


@pytest.mark.parametrize("top", ["data", "models", "metrics"])
def test_the_readme_of_a_folder_names_all_that_is_written_there(top: str) -> None:
    named = {
        span.split("/")[0]
        for span in re.findall(r"`([^`\n]+)`", (REPOSITORY / top / "README.md").read_text())
    }
    places = {made.split("/")[1] for made in [*outputs(), *told()] if made.startswith(f"{top}/")}
    assert sorted(place for place in places if not any(fnmatch(name, place) for name in named)) == []


def parse(words: list[str]) -> Any:
    """A dvc command's arguments, by DVC's own parser."""
    return get_main_parser().parse_args(words[1:])


@pages
def test_commands_exist(page: Path) -> None:
    for words in commands(page):
        if words[0] == "dvc":
            check_dvc(parse(words))
        elif words[0] == "valaro":
            check_valaro(words[1:])
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE), words
        else:
            file = REPOSITORY.joinpath(*words[2].split(".")).with_suffix(".py")
            assert words[2].removeprefix("stages.") in DAG or file.is_file(), words


def check_dvc(parsed: Any) -> None:
    targets = parsed.targets or [] if hasattr(parsed, "targets") else []
    for target in [t for t in targets if "/" not in t and t not in EXAMPLES]:
        stage, _, item = target.partition("@")
        assert stage in DAG, target
        assert not item or is_parameter(f"finetune.backbones.{item}"), target
    changes: dict[str, list[str]] = {}
    for change in getattr(parsed, "set_param", None) or []:
        key, _, values = change.partition("=")
        if key not in EXAMPLES:
            assert is_parameter(key), change
            changes[key] = re.split(r",(?![^\[]*\])", values)  # a list is one value
    for combination in product(*changes.values()):
        set_parameters(dict(zip(changes, combination, strict=True)))


def check_valaro(words: list[str]) -> None:
    command = get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert {word for word in words[1:] if word.startswith("--")} <= known, words
    if words[0] == "profile":
        profile(words[1])
    if words[0] == "sweep":
        assert is_parameter(words[1]), words


def readers(key: str) -> set[str]:
    """The stages that DVC runs again for a changed parameter, without those that follow."""
    return {
        name
        for name, stage in DAG.items()
        if any(f"{key}.".startswith(f"{listed}.") for listed in stage.get("params", []))
    }


def within(inner: str, outer: str) -> bool:
    """Whether one path is another, or lies in it."""
    return f"{inner}/".startswith(f"{outer}/")


def followers(names: set[str]) -> set[str]:
    """These stages, and all that read what they write, directly or not."""
    made = [place for name in names for place in written_by(DAG[name])]
    needs = {name: [re.sub(r"\$\{[^}]*\}", "*", dep) for dep in stage["deps"]] for name, stage in DAG.items()}
    reached = {
        name
        for name, deps in needs.items()
        if any(within(dep, place) or within(place, dep) for dep in deps for place in made)
    }
    return names if reached <= names else followers(names | reached)


def test_the_table_of_reruns_is_that_of_the_dag() -> None:
    rows = re.findall(
        r"^\| `([\w.]+)` \| (.+) \|$", prose(REPOSITORY / "docs/change-a-stage.md"), re.MULTILINE
    )
    assert len(rows) > 5
    for key, cell in rows:
        named = {word for word in re.findall(r"\w+", cell) if word in DAG}
        expected = followers(readers(key))
        assert (followers(named) if "all that follow" in cell else named) == expected, key


@pages
def test_blocks_are_what_they_say(page: Path) -> None:
    for language, code in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            ast.parse(code)
        elif language == "yaml":
            assert isinstance(yaml.safe_load(code), dict)


def test_every_block_marked_as_tested_is() -> None:
    examples = Path(__file__).with_name("test_examples.py").read_text(encoding="utf-8")
    marked = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"^<!-- tested: (.+) -->$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {(page, name) for page, name in marked if f'blocks("{page}", "{name}")' not in examples} == set()
    assert len(marked) == 11
