"""A stage computes what it doesn't remember, sets aside what can't be used, and keeps its folder tidy."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextvars import copy_context
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from stages.core.artefacts import PARTIAL, files_of, read_json
from stages.core.errors import BadInput, ValaroError
from stages.core.notes import Note
from stages.engine import stage as module
from stages.engine.mapping import _end_workers
from stages.engine.runlog import history
from stages.engine.stage import NOTES, Stage, main
from stages.engine.units import Unit, do_unit

WORKED: list[str] = []  # names of the units that were really computed


class Settings(BaseModel):
    """Parameters of the stage under test."""

    gain: int = 1


def shout(unit: Unit, settings: Settings) -> list[Note]:
    """Upper-case a text; some texts can't be used, some deserve a note, one shows a defect of ours."""
    WORKED.append(unit.name)
    text = unit.reads["text"].read_text()
    if text == "unusable":
        unit.writes["loud"].write_text("half of it")
        raise BadInput(unit.reads["text"], "says unusable.", "Say something else.")
    if text == "defect":
        raise ZeroDivisionError("ours")
    if text == "stop":
        raise ValaroError("can't go on")
    unit.writes["loud"].write_text(text.upper() * settings.gain)
    return [unit.warn(unit.reads["text"], "is quiet", "Shout")] if text == "quiet" else []


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of our own, and a hash for the code of this file, which is no part of the package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr(module, "remembered_code_of", lambda name, memory: "code")
    WORKED.clear()
    return tmp_path


Run = Callable[..., list[str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Write the texts, run the stage on them; returns the units computed."""

    def once(texts: dict[str, str], gain: int = 1, strict: bool = False, folder: str = "in") -> list[str]:
        WORKED.clear()
        Path(folder).mkdir(exist_ok=True)
        for name, text in texts.items():
            path = Path(folder, name)
            if not path.is_file() or path.read_text() != text:
                path.write_text(text)
        with Stage("shout", Path("out"), strict=strict) as stage:
            stage.run(shout, [unit(name, folder) for name in texts], Settings(gain=gain), jobs=1)
        return sorted(WORKED)

    return once


def unit(name: str, folder: str = "in") -> Unit:
    return Unit(name, {"text": Path(folder, name)}, {"loud": Path("out", f"{name}.h5")})


def outputs() -> dict[str, str]:
    return {path.name: path.read_text() for path in files_of(Path("out")) if path.name != NOTES}


def notes() -> list[dict[str, object]]:
    content: list[dict[str, object]] = read_json(Path("out") / NOTES)
    return content


def test_what_is_remembered_is_not_computed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"a": "x", "b": "y"}) == ["a", "b"]
    assert outputs() == {"a.h5": "X", "b.h5": "Y"}
    assert capsys.readouterr().err.splitlines()[-1].startswith("shout: 2 computed in")
    assert run({"a": "x", "b": "y"}) == []
    assert capsys.readouterr().err.splitlines()[-1].endswith("0 computed in 0.0 s, 2 remembered")


def test_what_was_computed_is_told_once_and_complete() -> None:
    Path("in").mkdir()
    Path("in", "a").write_text("x")
    told: list[str] = []

    def tell(done: Unit) -> None:
        told.append(done.writes["loud"].read_text())

    for _ in range(2):
        with Stage("shout", Path("out")) as stage:
            stage.run(shout, [replace(unit("a"), when_computed=tell)], Settings(), jobs=1)
    assert told == ["X"], "not when the result is remembered"


def test_one_more_input_costs_one_and_one_less_costs_nothing(run: Run) -> None:
    run({"a": "x", "b": "y"})
    assert run({"a": "x", "b": "y", "c": "z"}) == ["c"]
    assert run({"a": "x", "c": "z"}) == []
    assert outputs() == {"a.h5": "X", "c.h5": "Z"}
    assert run({"a": "x", "b": "y", "c": "z"}) == [], "what was removed is still remembered"
    assert outputs() == {"a.h5": "X", "b.h5": "Y", "c.h5": "Z"}


def test_there_and_back_again(run: Run) -> None:
    run({"a": "x", "b": "y"})
    assert run({"a": "x", "b": "y"}, gain=2) == ["a", "b"]
    assert outputs() == {"a.h5": "XX", "b.h5": "YY"}
    assert run({"a": "new", "b": "y"}, gain=2) == ["a"]
    assert run({"a": "x", "b": "y"}, gain=1) == []
    assert outputs() == {"a.h5": "X", "b.h5": "Y"}


def test_the_name_the_code_the_work_and_the_facts_decide(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run({"a": "x"})
    Path("in", "b").write_text("x")
    for changed in (unit("b"), Unit("a", unit("a").reads, unit("a").writes, {"side": "left"})):
        WORKED.clear()
        with Stage("shout", Path("out")) as stage:
            stage.run(shout, [changed], Settings(), jobs=1)
        assert [changed.name] == WORKED
    monkeypatch.setattr(module, "remembered_code_of", lambda name, memory: "other code")
    assert run({"a": "x"}) == ["a"]


def test_outputs_that_were_removed_come_back(run: Run) -> None:
    """DVC removes the outputs of a stage before it runs it."""
    run({"a": "x"})
    for path in files_of(Path("out")):
        path.unlink()
    assert run({"a": "x"}) == []
    assert outputs() == {"a.h5": "X"}


def test_nothing_that_belongs_to_nobody_stays(run: Run) -> None:
    Path("out", "deep").mkdir(parents=True)
    for name in (f"{PARTIAL}7-a.h5", "deep/old.h5", "typed by hand.txt"):
        Path("out", name).write_text("left over")
    run({"a": "x"})
    assert outputs() == {"a.h5": "X"}


def test_an_input_that_cannot_be_used_is_set_aside(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run({"a": "x", "bad": "fine so far", "c": "quiet"})
    assert run({"a": "x", "bad": "unusable", "c": "quiet"}) == ["bad"]
    assert outputs() == {"a.h5": "X", "c.h5": "QUIET"}, "neither half of it nor what it gave before"
    aside = {"subject": "bad", "file": "in/bad", "problem": "says unusable", "remedy": "Say something else"}
    quiet = {"subject": "c", "file": "in/c", "problem": "is quiet", "remedy": "Shout"}
    assert notes() == [aside | {"quarantined": True}, quiet | {"quarantined": False}]
    console = capsys.readouterr().err
    assert "shout: SET ASIDE: in/bad: says unusable. Say something else.\n" in console
    assert "shout: note: in/c: is quiet. Shout.\n" in console
    run({"a": "x", "bad": "unusable", "c": "quiet"})
    assert len(notes()) == 2, "notes are remembered with their results"


def test_strict_stops_at_once_and_names_the_file(run: Run) -> None:
    with pytest.raises(
        ValaroError, match=r"^in/a: says unusable\. Say something else\. \(index\.on_bad_input"
    ):
        run({"a": "unusable", "b": "y"}, strict=True)
    assert WORKED == ["a"]
    with pytest.raises(ValaroError, match="twice"), Stage("shout", Path("out"), strict=True) as stage:
        stage.note(Note("a", "in/a", "is there twice", "Keep one", quarantined=True))
    with Stage("shout", Path("out"), strict=True) as stage:
        stage.note(Note("a", "in/a", "is quiet", "Shout"))
    assert [note["problem"] for note in notes()] == ["is quiet"]


def test_a_defect_of_ours_fails_the_stage_after_the_others_are_done(run: Run) -> None:
    with pytest.raises(
        ValaroError, match=r"(?s)shout failed at a: Traceback.*ZeroDivisionError: ours.*2 units failed"
    ):
        run({"a": "defect", "b": "defect", "c": "z"})
    assert not list(Path("out").glob("a*"))
    assert run({"a": "x", "b": "y", "c": "z"}) == ["a", "b"], "what was finished is kept"


def test_an_error_of_the_user_stops_the_stage_as_it_is(run: Run) -> None:
    with pytest.raises(ValaroError, match=r"^can't go on$"):
        run({"a": "stop", "b": "y"})
    assert run({"a": "x", "b": "y"}) == ["a", "b"], "and the lock is free again"


def test_files_written_outside_any_unit_are_kept_if_claimed() -> None:
    for name in ("claimed.json", "forgotten.json"):
        with Stage("shout", Path("out")) as stage:
            Path("out", name).write_text("{}")
            if name == "claimed.json":
                stage.claim(Path("out", name))
    assert outputs() == {}
    with Stage("shout", Path("out")) as stage:
        Path("out", "claimed.json").write_text("{}")
        stage.claim(Path("out", "claimed.json"))
    assert outputs() == {"claimed.json": "{}"}


def test_two_units_of_one_name_are_a_mistake() -> None:
    Path("in").mkdir()
    Path("in", "a").write_text("x")
    with pytest.raises(ValueError, match="have the same name"), Stage("shout", Path("out")) as stage:
        stage.run(shout, [unit("a"), unit("a")], Settings(), jobs=1)


def write_folder(unit: Unit, settings: None) -> list[Note]:
    WORKED.append(unit.name)
    (unit.writes["plots"] / "deep").mkdir(parents=True)
    (unit.writes["plots"] / "deep" / "loss.tsv").write_text("loss")
    unit.writes["model"].write_text("weights")
    assert unit.scratch.parent == Path(".valaro/scratch/train")
    unit.scratch.mkdir(parents=True, exist_ok=True)
    state = unit.scratch / "epoch"
    state.write_text(state.read_text() + "+1" if state.is_file() else "1")
    if state.read_text() == "1":
        raise KeyboardInterrupt
    return []


def test_unfinished_state_waits_in_a_folder_named_by_what_decides_it() -> None:
    """A unit that writes folders, outside the stage's own folder, and is interrupted once."""
    train = Unit("model", {}, {"plots": Path("metrics/plots"), "model": Path("models/m")})
    with pytest.raises(KeyboardInterrupt), Stage("train") as stage:
        stage.run(write_folder, [train], jobs=1)
    assert not Path("metrics/plots").exists()
    assert not Path("models/m").exists()
    for _ in range(2):
        with Stage("train") as stage:
            stage.run(write_folder, [train], jobs=1)
        assert Path("metrics/plots/deep/loss.tsv").read_text() == "loss"
        assert Path("models/m").read_text() == "weights"
    assert WORKED == ["model", "model"]
    assert files_of(Path(".valaro/scratch")) == []
    assert [path.name for path in Path("metrics").iterdir()] == ["plots"]


def test_an_experiment_in_a_copy_finds_what_the_repository_remembers(
    run: Run, place: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run({"a": "x", "b": "y"})
    copy = tmp_path_factory.mktemp("copy")
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(place))
    assert run({"a": "x", "b": "y", "c": "z"}) == ["c"]
    assert outputs() == {"a.h5": "X", "b.h5": "Y", "c.h5": "Z"}
    assert [path.name for path in Path(".valaro").iterdir()] == ["locks"]
    monkeypatch.chdir(place)
    assert run({"a": "x", "b": "y", "c": "z"}) == [], "and the other way round"


@pytest.mark.parametrize("damage", ["blobs", "memo"])
def test_damaged_memory_is_mended(run: Run, damage: str) -> None:
    run({"a": "x", "b": "y"})
    for path in files_of(Path(".valaro", damage)):
        path.unlink()  # not in place: outputs share the inode
        path.write_bytes(b"\0" * 7)
    for path in files_of(Path("out")):
        path.unlink()
    assert run({"a": "x", "b": "y"}) == ["a", "b"]
    assert run({"a": "x", "b": "y"}) == []
    assert outputs() == {"a.h5": "X", "b.h5": "Y"}


@pytest.fixture
def workers() -> Iterator[None]:
    """End the workers after the test: those of the next one begin in its own folder."""
    yield
    _end_workers()


@pytest.mark.usefixtures("workers")
def test_several_processes_give_the_same() -> None:
    """Through worker processes: real work of the package, as functions of this file don't travel."""
    import numpy as np

    from stages.core.artefacts import write_arrays
    from stages.core.params import SmoothParams
    from stages.smooth import smooth_subject

    times = {"predictions": np.arange(3.0), "index": np.arange(0, 2.5, 0.5)}
    units = []
    for name in "abc":
        reads = {role: Path("in", f"{role}-{name}.h5") for role in times}
        for role, time_s in times.items():
            values = np.full((len(time_s), 2), ord(name) / 200, np.float32)
            write_arrays(reads[role], {"time_s": time_s, "valence_arousal": values})
        units.append(Unit(name, reads, {"trace": Path("out", f"{name}.h5")}))
    digests = []
    for jobs in (2, 1):
        with Stage("smooth", Path("out")) as stage:
            stage.run(smooth_subject, units, SmoothParams(window_s=0.5), jobs=jobs)
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files_of(Path("out"))])
        for path in files_of(Path(".valaro")):
            if path.parent.name != "locks":
                path.unlink()
    assert digests[0] == digests[1]


@pytest.mark.usefixtures("workers")
def test_entries_of_a_matrix_are_computed_in_processes_side_by_side() -> None:
    """Real work of the package again; the entry's own result appears, that of the other is cached."""
    import numpy as np

    from stages.core.artefacts import write_arrays
    from stages.core.params import SmoothParams
    from stages.smooth import smooth_subject

    time_s = np.arange(3.0)
    for role in ("predictions", "index"):
        values = np.zeros((len(time_s), 2), np.float32)
        write_arrays(Path("in", f"{role}.h5"), {"time_s": time_s, "valence_arousal": values})

    def described(entry: str) -> tuple[Unit, SmoothParams]:
        reads = {role: Path("in", f"{role}.h5") for role in ("predictions", "index")}
        return Unit(entry, reads, {"trace": Path("out", f"{entry}.h5")}), SmoothParams(window_s=float(entry))

    with Stage("smooth") as stage:
        stage.run_entry(smooth_subject, "0.5", ["0.5", "1.5"], described, at_once=2)
    assert [path.name for path in files_of(Path("out"))] == ["0.5.h5"]
    assert len(files_of(Path(".valaro/memo/smooth"))) == 2
    with Stage("smooth") as stage:
        stage.run_entry(smooth_subject, "1.5", ["0.5", "1.5"], described, at_once=2)
    assert [path.name for path in files_of(Path("out"))] == ["0.5.h5", "1.5.h5"]
    computed = {
        label: [run.computed for run in runs] for (label, _), runs in history(Path(".valaro")).items()
    }
    assert computed == {"smooth": [1], "smooth@1.5": [1]}


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Run the stage for one entry of a matrix, beside the others, as though this were several processes."""
    monkeypatch.setattr(module, "map_units", lambda function, items, **_: map(function, items))

    def once(name: str, texts: dict[str, str], at_once: int = 2) -> list[str]:
        WORKED.clear()
        Path("in").mkdir(exist_ok=True)
        for path in Path("in").iterdir():
            path.unlink()
        for other, text in texts.items():
            Path("in", other).write_text(text)
        every = ["a", "b", "c"]
        with Stage("shout") as stage:
            stage.run_entry(shout, name, every, lambda name: (unit(name), Settings()), at_once)
        return list(WORKED)

    return once


def test_an_entry_computes_the_others_that_can_be_computed(
    entry: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry("a", {"a": "x", "b": "y"}) == ["a", "b"], "the input of c isn't there yet"
    assert "shout: computes b at the same time" in capsys.readouterr().err
    assert outputs() == {"a.h5": "X"}
    assert entry("b", {"a": "x", "b": "y", "c": "z"}) == [], "its result is cached, so nothing is computed"
    assert outputs() == {"a.h5": "X", "b.h5": "Y"}
    assert entry("c", {"a": "x", "b": "y", "c": "z"}) == ["c"], "the others are cached"
    assert entry("a", {"a": "new", "b": "new", "c": "z"}, at_once=1) == ["a"]


@pytest.mark.parametrize("error", [ValaroError, FileNotFoundError])
def test_an_entry_is_computed_though_another_can_t_be_described(error: type[Exception]) -> None:
    WORKED.clear()
    Path("in").mkdir(exist_ok=True)
    Path("in", "a").write_text("a")

    def described(name: str) -> tuple[Unit, Settings]:
        if name == "b":
            raise error("data/decode/x.h5")
        return unit(name), Settings()

    with Stage("shout") as stage:
        stage.run_entry(shout, "a", ["a", "b"], described, at_once=2, jobs=1)
    assert WORKED == ["a"]
    assert outputs() == {"a.h5": "A"}


def test_entries_that_are_a_matter_of_moments_are_computed_in_this_process() -> None:
    WORKED.clear()
    Path("in").mkdir(exist_ok=True)
    for name in ("a", "b"):
        Path("in", name).write_text(name)
    with Stage("shout") as stage:
        stage.run_entry(shout, "b", ["a", "b"], lambda name: (unit(name), Settings()), at_once=2, jobs=1)
    assert WORKED == ["b", "a"]
    assert outputs() == {"b.h5": "B"}


@pytest.mark.parametrize("trouble", ["stop", "defect", "unusable"])
def test_an_error_of_another_entry_waits_for_its_own_run(
    entry: Callable[..., list[str]], trouble: str
) -> None:
    assert entry("a", {"a": "x", "b": trouble}) == ["a", "b"]
    assert outputs() == {"a.h5": "X"}
    if trouble == "unusable":
        assert entry("b", {"a": "x", "b": trouble}) == ["b"]
        assert outputs() == {"a.h5": "X"}
    else:
        with pytest.raises(ValaroError):
            entry("b", {"a": "x", "b": trouble})


def test_an_entry_goes_on_alone_if_a_process_dies(
    entry: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dies(function: object, items: list[object], **_: object) -> Iterator[object]:
        raise BrokenProcessPool("killed")
        yield

    monkeypatch.setattr(module, "map_units", dies)
    assert entry("a", {"a": "x", "b": "y"}) == ["a"]
    assert outputs() == {"a.h5": "X"}
    assert "set compute.trainings_at_once to 1" in capsys.readouterr().err


def test_a_unit_alone_writes_all_or_nothing(place: Path) -> None:
    Path("in").mkdir()
    Path("in", "a").write_text("unusable")
    with pytest.raises(BadInput):
        do_unit(shout, unit("a"), Settings())
    assert list(Path("out").iterdir()) == []
    Path("in", "a").write_text("x")
    assert do_unit(shout, unit("a"), Settings(gain=3)) == []
    assert outputs() == {"a.h5": "XXX"}


def test_an_error_is_one_line_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["decode.py"])
    with pytest.raises(SystemExit) as caught:
        main("decode")  # no params.yaml here
    assert caught.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {Path.cwd()}/params.yaml is missing.")


def test_the_console_shows_the_worst_notes_and_counts_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    with Stage("shout", Path("out")) as stage:
        stage.note(*(Note(f"s{i}", "f", f"problem {i}", f"Do {i}", quarantined=i == 11) for i in range(12)))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "shout: SET ASIDE: f: problem 11. Do 11."
    assert lines[-1] == "shout: and 4 more notes"
    assert len(lines) == 9
    assert len(notes()) == 12


def test_many_notes_of_a_kind_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Stage("shout", Path("out")) as stage:
        stage.note(*(Note(f"s{i:02}", "f", f"no video {i}", "Add it", quarantined=True) for i in range(33)))
        stage.note(Note("t", "f", "odd", "Look"))
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "shout: SET ASIDE: f: no video 0. Add it. The same for 32 more: "
        "s01, s02, s03, s04, s05, s06, s07, s08, s09, s10 ..."
    )
    assert second == "shout: note: f: odd. Look."
    assert len(notes()) == 34


def test_remembered_notes_name_the_file_where_it_lies_now(run: Run) -> None:
    run({"a": "quiet"})
    assert notes()[0]["file"] == "in/a"
    Path("in").rename("moved")
    assert run({"a": "quiet"}, folder="moved") == [], "the same bytes elsewhere aren't computed again"
    assert notes()[0]["file"] == "moved/a"


def test_a_new_format_of_artefacts_recalls_nothing_older(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run({"a": "x"})
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    assert run({"a": "x"}) == ["a"]
    assert run({"a": "x"}) == []


def test_the_run_log_tells_the_entries_of_a_matrix_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def stage(entry: str) -> None:
        Path("in").mkdir(exist_ok=True)
        Path("in", entry).write_text(entry)
        with Stage("shout") as each:
            each.run(shout, [unit(entry)], Settings(), jobs=1)

    monkeypatch.setattr(module.importlib, "import_module", lambda _: SimpleNamespace(shout=stage))
    for entry in ("b1", "b4"):
        monkeypatch.setattr(sys, "argv", ["stages.shout", entry])
        copy_context().run(main, "shout")
    assert {label for label, _ in history(Path(".valaro"))} == {"shout@b1", "shout@b4"}


def test_a_program_that_is_nothing_but_a_stage_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[str] = []
    monkeypatch.setattr(module, "leave", lambda: left.append("now"))
    monkeypatch.setattr(module.importlib, "import_module", lambda _: SimpleNamespace(shout=lambda: None))
    monkeypatch.setattr(sys, "argv", ["stages.shout"])
    main("shout")
    assert left == [], "this program is another"
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", ModuleSpec("stages.shout", None))
    main("shout")
    assert left == ["now"]
