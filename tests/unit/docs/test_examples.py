"""The examples of the pages do what the pages say: their blocks are run as they stand."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from stages.core.artefacts import read_arrays, read_json, write_arrays
from stages.core.params import Params

pytestmark = pytest.mark.long
Examples = Callable[[str, str], dict[str, str]]
RATE_HZ, FRAMES = 25, 30


def run(*command: str, cwd: Path, code: Path) -> None:
    """Run a command on the code in a folder; what it says goes into the failure."""
    environment = os.environ | {"PYTHONPATH": str(code), "VALARO_DEVICE": "cpu"}
    done = subprocess.run(command, cwd=cwd, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def python(script: str, *, cwd: Path, code: Path) -> None:
    """Run a script on the code in a folder."""
    run(sys.executable, "-c", script, cwd=cwd, code=code)


def over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, the second over the first."""
    return base | {k: over(base[k], v) if isinstance(base.get(k), dict) else v for k, v in changes.items()}


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def film(path: Path) -> None:
    """A little over a second of grey that grows lighter."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE_HZ, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for k in range(FRAMES):
            image = np.full((64, 64, 3), 4 * k, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))


def test_two_rated_clips_become_a_corpus(repository: Path, tmp_path: Path, blocks: Examples) -> None:
    example = blocks("bring-your-data.md", "layout")
    for name in ("anna", "ben"):
        film(tmp_path / f"{name}.mp4")
        (tmp_path / f"{name}.csv").write_text("time_s,valence,arousal\n0.1,0,0.5\n1.1,1,-0.5\n")
    params = over(load(repository / "profiles" / "sample.yaml"), yaml.safe_load(example["yaml"]))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    python(example["python"], cwd=tmp_path, code=repository)
    link_a_folder(tmp_path)
    run(sys.executable, "-m", "stages.index", cwd=tmp_path, code=repository)
    splits = {s["name"]: s["split"] for s in read_json(tmp_path / "data/index/corpus.json")["subjects"]}
    assert splits == {"anna": "train", "ben": "validation"}
    notes = read_json(tmp_path / "data/index/notes.json")
    assert [(note["file"], note["problem"]) for note in notes] == [
        ("data/mine/videos/anna.mp4", "the same video as data/mine/videos/ben.mp4"),
        ("data/mine/videos/linked/other.mp4", "neither labelled nor in the test list: not used"),
        ("data/mine", "1 labelled recordings of the train split; 2 are needed"),
        ("data/mine", "1 labelled recordings of the validation split; 3 are needed"),
    ]
    found = read_arrays(tmp_path / "data/index/anna.h5")
    time_s = np.arange(FRAMES) / RATE_HZ
    np.testing.assert_allclose(found["time_s"], time_s, atol=1e-6)
    rated = (time_s >= 0.1) & (time_s <= 1.1)
    np.testing.assert_array_equal(found["labelled"], rated)
    np.testing.assert_allclose(found["valence_arousal"][rated, 0], time_s[rated] - 0.1, atol=1e-3)
    np.testing.assert_allclose(found["valence_arousal"][rated, 1], 0.6 - time_s[rated], atol=1e-3)


def link_a_folder(folder: Path) -> None:
    """A third video, unlabelled, behind a link to its folder."""
    (folder / "elsewhere").mkdir()
    film(folder / "elsewhere" / "other.mp4")
    (folder / "data/mine/videos/linked").symlink_to(folder / "elsewhere")


def edit(checkout: Path, example: dict[str, str]) -> None:
    """Make an example's changes to a copy of the code."""
    subprocess.run(("git", "apply", "-"), input=example["diff"], cwd=checkout, check=True, text=True)
    subprocess.run(("bash", "-c", example["bash"]), cwd=checkout, check=True)


def require_good_style(checkout: Path, *files: str) -> None:
    """What is shown passes the project's own lint."""
    for command in (("check",), ("format", "--check")):
        run(sys.executable, "-m", "ruff", *command, "--no-cache", *files, cwd=checkout, code=checkout)


def require_true_dag(checkout: Path) -> None:
    """The tests that compare dvc.yaml and the profiles with the code, in the copy."""
    wanted = "watches or profile_is_complete"
    command = (sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider")
    run(*command, "-k", wanted, "tests/unit/core/test_dag.py", cwd=checkout, code=checkout)


SHIFTED = """
from pathlib import Path
import numpy as np
from stages.core.artefacts import read_arrays, write_arrays
from stages.core.params import load_params
from stages.engine.units import Unit, do_unit
from stages.smooth import smooth_subject

time_s = np.arange(50) / 5
write_arrays(Path("p.h5"), {"time_s": time_s, "valence_arousal": np.stack([time_s, time_s], 1) / 10})
write_arrays(Path("i.h5"), {"time_s": time_s})
settings = load_params().smooth
assert settings.delay_s == 0
unit = Unit("anna", {"predictions": Path("p.h5"), "index": Path("i.h5")}, {"trace": Path("t.h5")})
do_unit(smooth_subject, unit, settings.model_copy(update={"delay_s": 0.4, "window_s": 0}))
ahead = read_arrays(Path("t.h5"))["valence_arousal"]
assert np.allclose(ahead[:40, 0], (time_s[:40] + 0.4) / 10), ahead
"""


UPGRADED = """
from pathlib import Path
from stages.core.former_params import upgraded
from stages.core.params import load_params

assert upgraded({"smooth": {"window_s": 0.5}}).content["smooth"] == {"window_s": 0.5, "delay_s": 0.0}
for profile in (*Path("profiles").glob("*.yaml"), Path("valaro/starter/params.yaml")):
    assert "delay_s: 0.0 " in profile.read_text(encoding="utf-8"), profile
    load_params(profile)
"""


def test_a_parameter_is_added(checkout: Path, blocks: Examples) -> None:
    edit(checkout, blocks("change-a-stage.md", "delay"))
    python(SHIFTED, cwd=checkout, code=checkout)
    python(UPGRADED, cwd=checkout, code=checkout)
    require_good_style(checkout, "stages/smooth.py", "stages/core/params/results.py")
    require_true_dag(checkout)


def test_a_backbone_of_timm_by_parameters_alone(repository: Path, blocks: Examples) -> None:
    import torch

    from stages.training.freezing import check_groups
    from stages.vision.architectures import new_static
    from stages.vision.backbones import describe, static_config

    changes = yaml.safe_load(blocks("add-a-backbone.md", "timm")["yaml"])
    params = Params.model_validate(over(load(repository / "profiles" / "affwild2.yaml"), changes))
    settings, name = params.finetune, params.embed.backbone
    model = new_static(static_config(describe(settings, name), settings.dropout, settings.tanh_output), None)
    with torch.no_grad():
        output = model.eval()(torch.zeros(1, 3, model.image_size, model.image_size, dtype=torch.uint8))
    assert [tuple(part.shape) for part in output] == [(1, 256), (1, 2), (1, 8)]
    groups = model.layer_groups()
    check_groups(model, groups)
    assert len(groups) == 7  # stem, four stages, final norm, added


BUILT = """
from pathlib import Path
import torch
from stages.core.params import load_params
from stages.training.checkpoints import load_model, save_model
from stages.training.freezing import check_groups
from stages.vision.architectures import build_static, new_static
from stages.vision.backbones import describe, static_config

settings = load_params().finetune
config = static_config(describe(settings, "plain"), settings.dropout, settings.tanh_output)
model = new_static(config, None).eval()
check_groups(model, model.layer_groups())
images = torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8)
output = model(images)
assert [tuple(part.shape) for part in output] == [(3, 256), (3, 2), (3, 8)]
output.valence_arousal.sum().backward()
assert all(p.grad is not None for p in model.body.parameters())
save_model(Path("plain.safetensors"), model, config)
again = load_model(Path("plain.safetensors"), build_static)
assert torch.equal(again(images).embedding, output.embedding)
"""


def test_a_backbone_of_your_own(checkout: Path, blocks: Examples) -> None:
    example = blocks("add-a-backbone.md", "plain")
    assert len([line for line in example["python"].splitlines() if line.strip()]) < 30
    (checkout / "stages" / "vision" / "plain_model.py").write_text(example["python"])
    edit(checkout, example)
    params = over(load(checkout / "params.yaml"), yaml.safe_load(example["yaml"]))
    (checkout / "params.yaml").write_text(yaml.safe_dump(params))
    python(BUILT, cwd=checkout, code=checkout)
    require_good_style(checkout, "stages/vision/plain_model.py", "stages/vision/architectures.py")
    require_true_dag(checkout)


def change(checkout: Path, example: dict[str, str]) -> None:
    """Run an example's shell commands in the copy, with its python and its code."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(checkout), "PATH": path}
    command = ("bash", "-euc", example["bash"])
    done = subprocess.run(command, cwd=checkout, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_a_table_describes_a_corpus(repository: Path, tmp_path: Path, blocks: Examples) -> None:
    example = blocks("bring-your-data.md", "table")
    for name in ("anna", "duo", "ben"):
        (tmp_path / "data/mine/talks").mkdir(parents=True, exist_ok=True)
        film(tmp_path / f"data/mine/talks/{name}.mp4")
    for name in ("anna", "duo_left", "duo_right"):
        (tmp_path / "data/mine/labels").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"data/mine/labels/{name}.txt").write_text("valence,arousal\n" + "0.5,0.1\n" * FRAMES)
    (tmp_path / "data/mine/corpus.csv").write_text(example["csv"])
    params = over(load(repository / "profiles" / "sample.yaml"), yaml.safe_load(example["yaml"]))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    for stage in ("inputs", "index"):  # the former looks for what DVC watches
        run(sys.executable, "-m", f"stages.{stage}", cwd=tmp_path, code=repository)
    subjects = read_json(tmp_path / "data/index/corpus.json")["subjects"]
    assert {(each["name"], each["side"], each["split"]) for each in subjects} == {
        ("anna", None, "train"),
        ("duo_left", "left", "validation"),
        ("duo_right", "right", "validation"),
        ("ben", None, "test"),
    }


def test_a_layout_is_added(checkout: Path, blocks: Examples) -> None:
    example = blocks("add-a-layout.md", "layout")
    (checkout / "stages/layouts/beside.py").write_text(example["python"])
    change(checkout, example)
    params = over(load(checkout / "params.yaml"), yaml.safe_load(example["yaml"]))
    (checkout / "params.yaml").write_text(yaml.safe_dump(params))
    for name in ("train/anna", "validation/ben", "test/eve"):
        path = checkout / f"data/mine/{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        film(path)
        if "test" not in name:
            path.with_suffix(".txt").write_text("valence,arousal\n" + "0.5,0.1\n" * FRAMES)
    run(sys.executable, "-m", "stages.index", cwd=checkout, code=checkout)
    subjects = read_json(checkout / "data/index/corpus.json")["subjects"]
    assert {each["name"]: each["split"] for each in subjects} == {
        "anna": "train",
        "ben": "validation",
        "eve": "test",
    }
    require_good_style(checkout, "stages/layouts", "stages/core/layouts.py")
    require_true_dag(checkout)


DETECTED = """
import numpy as np
from stages.core.detectors import DETECTORS
from stages.core.params import load_params
from stages.vision.detectors import detector_of, device_of

faces = load_params().faces
assert (faces.detector, device_of("middle"), DETECTORS["middle"].licence) == ("middle", "cpu", "MIT")
bright, dark = (np.full((80, 120, 3), value, np.uint8) for value in (200, 20))
found = detector_of(faces, None).detect([bright, dark])
assert [len(each) for each in found] == [1, 0]
assert found[0].box_xyxy[0].tolist() == [30, 20, 90, 60]
"""


def test_a_detector_is_added(checkout: Path, blocks: Examples) -> None:
    example = blocks("add-a-detector.md", "detector")
    (checkout / "stages/vision/middle_detector.py").write_text(example["python"])
    change(checkout, example)
    params = over(load(checkout / "params.yaml"), yaml.safe_load(example["yaml"]))
    (checkout / "params.yaml").write_text(yaml.safe_dump(params))
    python(DETECTED, cwd=checkout, code=checkout)
    require_good_style(checkout, "stages/vision/middle_detector.py", "stages/core/detectors.py")
    require_true_dag(checkout)


FUSED = """
import numpy as np
from stages.core.params import load_params
from stages.core.systems import FUSIONS
from stages.fusion.methods import METHODS

fusion = FUSIONS["mean_dynamic_audio"]
method, settings = METHODS[fusion.method], load_params().fuse
stacks = np.random.default_rng(0).uniform(-1, 1, (9, 2, 2))
fitted = method.fit(settings, 1, stacks, stacks[:, 0], np.arange(9))
again = method.load(fitted.to_arrays())
assert np.allclose(again.predict(stacks), stacks.mean(1))
"""


@pytest.mark.parametrize(
    ("name", "fusion"), [("record", "dwf_dynamic_kelm"), ("method", "mean_dynamic_audio")]
)
def test_a_fusion_is_added(checkout: Path, blocks: Examples, name: str, fusion: str) -> None:
    example = {"record": blocks("add-a-fusion.md", "record"), "method": blocks("add-a-fusion.md", "method")}[
        name
    ]
    if name == "method":
        (checkout / "stages/fusion/plain_mean.py").write_text(example["python"])
    change(checkout, example)
    if name == "method":
        python(FUSED, cwd=checkout, code=checkout)
        require_good_style(checkout, "stages/fusion/plain_mean.py", "stages/fusion/methods.py")
    python(f"from stages.core.systems import FUSIONS; FUSIONS['{fusion}']", cwd=checkout, code=checkout)
    require_good_style(checkout, "stages/core/systems.py")
    require_true_dag(checkout)


WRITTEN = """
from pathlib import Path
import numpy as np
from stages.exports.formats import FORMATS, names_in
from stages.exports.trace import Trace

time_s = np.arange(40) / 20
flags = np.ones(40, bool)
values = np.stack([np.full(40, 0.5), -np.full(40, 0.25)], 1)
trace = Trace("anna", Path("anna.mp4"), time_s, values, flags, flags, 2.0, notice="of the sample")
assert names_in(["TXT"], list(FORMATS)) == ("txt",)
FORMATS["txt"].write(Path("anna.txt"), trace)
assert Path("anna.txt").read_text() == "of the sample\\n0\\t+0.500\\t-0.250\\n1\\t+0.500\\t-0.250\\n"
"""


def test_a_format_is_added(checkout: Path, blocks: Examples) -> None:
    example = blocks("add-a-format.md", "format")
    (checkout / "stages/exports/plain_text.py").write_text(example["python"])
    change(checkout, example)
    python(WRITTEN, cwd=checkout, code=checkout)
    require_good_style(checkout, "stages/exports/plain_text.py", "stages/exports/formats.py")


def test_an_artefact_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: Examples) -> None:
    seen = np.array([True, False])
    boxes = np.array([[1, 2, 3, 4], [np.nan] * 4], np.float32)
    write_arrays(tmp_path / "data/faces/anna.h5", {"detected": seen, "box_xyxy": boxes}, fps_hz=5.0)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(blocks("artefacts.md", "read")["python"], names)  # noqa: S102  (our own page)
    assert names["boxes_of_real_faces"].tolist() == [[1, 2, 3, 4]]
    assert names["rate_hz"] == 5.0
