"""A key changes with everything that decides a result, and with nothing else."""

import ast
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages.engine import fingerprint
from stages.engine.fingerprint import LIBRARIES, FileHashes, code_of, key_of, md5_of, remembered_code_of

SOURCES = {
    "__init__.py": "",
    "work.py": '''"""What it does."""
import numpy as np
from stages.room import inner
from stages.engine.progress import say


def work(x):
    """Double it."""
    return inner.double(x)  # twice
''',
    "room/__init__.py": "",
    "room/inner.py": """from stages.deep import FACTOR


def double(x):
    return FACTOR * x
""",
    "deep.py": 'FACTOR = 2\n"""Of the doubling."""\n',
    "aside.py": "UNUSED = 1\n",
    "core/progress.py": "def say(line):\n    print(line)\n",
}

Package = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Write the package of SOURCES, some of them replaced; returns the hash of its module `work`."""
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)

    def build(**changed: str) -> str:
        for name, source in {**SOURCES, **changed}.items():
            path = tmp_path / "stages" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        code_of.cache_clear()
        return code_of("stages.work")

    yield build
    code_of.cache_clear()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("work.py", "# twice", "# two times"),
        ("work.py", "Double it.", "Double it, and say so."),
        ("work.py", '"""What it does."""\n', ""),
        ("work.py", '    """Double it."""\n', ""),
        ("work.py", "\n\n\ndef", "\n\n\n# a comment\n\ndef"),
        ("work.py", "inner.double(x)", "(inner.double(x))"),
        ("deep.py", "Of the doubling.", "Twice as much."),
        ("deep.py", '"""Of the doubling."""\n', ""),
        ("aside.py", "1", "2"),
        ("core/progress.py", "print(line)", "print(line, flush=True)"),
    ],
)
def test_what_decides_nothing_changes_nothing(package: Package, file: str, old: str, new: str) -> None:
    before = package()
    assert old in SOURCES[file]
    assert package(**{file: SOURCES[file].replace(old, new)}) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("work.py", "inner.double(x)", "inner.double(x) + 0"),
        ("room/inner.py", "FACTOR * x", "x * FACTOR"),
        ("deep.py", "2", "3"),
        ("deep.py", "2\n", '2\nf"not a {FACTOR} docstring"\n'),
        ("room/__init__.py", "", "from stages.deep import FACTOR\n"),
        ("work.py", "import numpy as np\n", "import numpy as np\nimport scipy\n"),
    ],
)
def test_a_statement_anywhere_below_changes_it(package: Package, file: str, old: str, new: str) -> None:
    before = package()
    assert old in SOURCES[file]
    assert package(**{file: SOURCES[file].replace(old, new, 1)}) != before


def test_the_version_of_a_library_counts(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    before = package()
    versions = {"numpy": "1.26.4"}
    monkeypatch.setattr(fingerprint.importlib.metadata, "version", versions.__getitem__)
    known = package()
    versions["numpy"] = "1.26.5"
    assert package() != known
    assert before


def test_modules_that_import_each_other_come_to_an_end(package: Package) -> None:
    assert package(**{"deep.py": "from stages.work import work\nFACTOR = 2\n"})


def test_an_unknown_module_is_named(package: Package) -> None:
    package()
    with pytest.raises(ModuleNotFoundError, match=r"stages\.nowhere"):
        code_of("stages.nowhere")


# What a library of this list does shows in no result: settings, processes, the console, pictures for people,
# containers whose content is the same in every version.
DECIDE_NO_RESULT = {
    *(
        "filelock",
        "pydantic",
        "ruamel",
        "yaml",
        "joblib",
        "psutil",
        "rich",
        "typer",
        "click",
        "huggingface_hub",
        "jinja2",
        "markupsafe",
        "packaging",
        "pyarrow",
        "matplotlib",
        "dvclive",
        "safetensors",
        "distributed",
        "ray",
        "threadpoolctl",
    ),
    *("ffmpeg", "imageio_ffmpeg", "scmrepo", "skimage"),
}


def test_every_library_of_the_package_is_accounted_for(repository: Path) -> None:
    imported = set()
    for path in (repository / "stages").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: a relative import escapes the fingerprint"
                imported.add(str(node.module).split(".")[0])
            elif isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
    foreign = imported - set(sys.stdlib_module_names) - {"stages"}
    assert foreign - set(LIBRARIES) - DECIDE_NO_RESULT == set()


def test_every_stage_has_a_fingerprint(repository: Path) -> None:
    stages = [
        path.stem for path in (repository / "stages").glob("*.py") if path.stem not in ("__init__", "cli")
    ]
    codes = {name: code_of(f"stages.{name}") for name in stages}
    assert len(set(codes.values())) == len(codes) >= 12


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": "1"}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": None}, {}),
        ({"a": {"b": 1}}, {"a": {"b": True}}),
    ],
)
def test_keys_differ_where_values_do(one: dict[str, object], other: dict[str, object]) -> None:
    assert key_of(**one) != key_of(**other)


def test_a_key_does_not_depend_on_the_order_of_names() -> None:
    assert key_of(a=1, b={"c": "é", "d": None}) == key_of(b={"d": None, "c": "é"}, a=1)
    with pytest.raises(ValueError, match="JSON"):
        key_of(a=float("nan"))


def test_md5_is_the_one_dvc_uses(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"")
    assert md5_of(path) == "d41d8cd98f00b204e9800998ecf8427e"  # RFC 1321, appendix A.5
    path.write_bytes(b"message digest")
    assert md5_of(path) == "f96b697d7cb7938d525a2f31aaf161d0"


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were really read."""
    names: list[str] = []

    def spy(path: Path) -> str:
        names.append(path.name)
        return md5_of(path)

    monkeypatch.setattr(fingerprint, "md5_of", spy)
    return names


def test_files_are_read_once(tmp_path: Path, read: list[str]) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_bytes(path.name.encode())
    for _ in range(2):  # a second run opens the database again
        hashes = FileHashes(tmp_path / "home" / "hashes.db")
        assert hashes([*paths, paths[0]]) == {path: _md5(path.name.encode()) for path in paths}
        hashes.close()
    assert sorted(read) == ["a", "b"]


@pytest.mark.parametrize("change", ["longer", "same size", "replaced, same size and time"])
def test_a_changed_file_is_read_again(tmp_path: Path, read: list[str], change: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    hashes = FileHashes(tmp_path / "hashes.db")
    hashes([path])
    stamp = path.stat().st_mtime_ns
    if change == "longer":
        path.write_bytes(b"newer")
        os.utime(path, ns=(stamp, stamp))
    elif change == "same size":
        path.write_bytes(b"new")
        os.utime(path, ns=(stamp + 1_000_000, stamp + 1_000_000))
    else:
        (tmp_path / "b").write_bytes(b"new")
        os.utime(tmp_path / "b", ns=(stamp, stamp))
        (tmp_path / "b").replace(path)
    assert hashes([path]) == {path: _md5(path.read_bytes())}
    hashes.close()
    assert read == ["a", "a"]


def test_a_damaged_memory_of_hashes_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a")
    (tmp_path / "hashes.db").write_bytes(b"this is no database" * 100)
    hashes = FileHashes(tmp_path / "hashes.db")
    assert hashes([path]) == {path: _md5(b"a")}
    hashes.close()


def test_packages_hold_no_code_that_the_fingerprint_would_miss(repository: Path) -> None:
    """A module's import runs the `__init__.py` of its folders; the top one sets the environment only.

    Those of folders that are no part of a result may hold what they like.
    """
    for path in (repository / "stages").rglob("__init__.py"):
        if fingerprint._outside(".".join(path.parent.relative_to(repository).parts)):
            continue
        statements = [ast.unparse(node) for node in fingerprint._bare(path.read_text(encoding="utf-8")).body]
        if path.parent == repository / "stages":
            beginnings = (
                "import os",
                "__version__ =",
                "os.environ.setdefault(",
                "if 'OMP_WAIT_POLICY' not in os.environ",
            )
            statements = [text for text in statements if not text.startswith(beginnings)]
        assert statements == [], path


def test_a_remembered_hash_is_that_of_the_code_as_it_is(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "codes.json"
    parsed: list[str] = []
    really = fingerprint._parsed

    def spy(path: Path) -> fingerprint.Parsed:
        parsed.append(path.name)
        return really(path)

    monkeypatch.setattr(fingerprint, "_parsed", spy)
    first = package()
    parsed.clear()
    assert remembered_code_of("stages.work", memory) == first
    assert sorted(set(parsed)) == ["__init__.py", "deep.py", "inner.py", "work.py"]
    parsed.clear()
    assert remembered_code_of("stages.work", memory) == first
    assert parsed == []
    deep = tmp_path / "stages" / "deep.py"
    deep.write_text("FACTOR = 3\n")
    changed = remembered_code_of("stages.work", memory)
    assert parsed == ["deep.py"]
    assert changed == package(**{"deep.py": "FACTOR = 3\n"}) != first
    memory.write_text('{"stages/work.py": "damaged"}')
    assert remembered_code_of("stages.work", memory) == changed
