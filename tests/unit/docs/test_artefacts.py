"""The tables of docs/artefacts.md against files that the stages really write, from three small films."""

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import h5py
import numpy as np
import pytest
import soundfile
import torch
from skimage import data as portraits
from torch import Tensor, nn

from stages import decode, embed, faces, fuse, index, mouth, predict, smooth, speech, voice
from stages.audio.networks import TorchAudio
from stages.core.artefacts import read_arrays, read_json, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.folds import validation_folds
from stages.core.params import BackboneParams, Params, load_params
from stages.core.systems import FUSIONS
from stages.corpora.labelled_faces import write_shard
from stages.corpora.table import Sample
from stages.engine.units import Unit, Work, do_unit
from stages.layouts.affwild2 import list_corpus
from stages.media.jpeg import pack_jpegs
from stages.temporal.dynamic import DynamicModel
from stages.temporal.normalisation import Normaliser
from stages.training.checkpoints import save_model
from stages.training.crossfit import write_out_of_fold
from stages.training.run_state import Best, Fitted
from stages.vision.architectures import new_static
from stages.vision.backbones import static_config
from stages.vision.search import search_video

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "docs" / "artefacts.md").read_text(encoding="utf-8")
NAMES = ("v1", "v2", "v3")
RATE_HZ, DURATION_S, SOUND_HZ = 25, 2.4, 44_100
SMALL = BackboneParams(
    architecture="test_resnet", input="face", image_size=32, weights=None, options={"channels": [8] * 4}
)


class Row(NamedTuple):
    """One line of a table: an array, or an attribute if its shape is a dot."""

    name: str
    shape: str
    type: str
    what: str


def described() -> dict[str, tuple[list[str], list[Row]]]:
    """The stages that write a file, and what is said to be in it, by the file."""
    found = {}
    for heading in re.finditer(r"^### `([^`]+)`, by ([^\n]+)\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S):
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (\w+) \| ([^|]*)\|$", heading[3], re.MULTILINE)
        found[heading[1]] = (heading[2].split(" and "), [Row(*row) for row in rows])
    return found


FILES = {
    "data/index/<subject>.h5": "data/index/v1.h5",
    "data/decode/<video>.h5": "data/decode/v1.h5",
    "data/faces/found/<video>.h5": "data/faces/found/v1.h5",
    "data/faces/tracks/<video>.h5": "data/faces/tracks/v1.h5",
    "data/faces/<subject>.h5": "data/faces/v1.h5",
    "data/mouth/<subject>.h5": "data/mouth/v1.h5",
    "data/speech/<subject>.h5": "data/speech/v1.h5",
    "data/gather/<corpus>/<shard>.h5": "data/gather/savee/video-DC.h5",
    "data/embeddings/<subject>.h5": "data/embeddings/v1.h5",
    "data/predictions/<system>/<subject>.h5": "data/predictions/audio/v1.h5",
    "data/features/dynamic/<subject>.h5": "data/features/dynamic/v1.h5",
    "data/features/audio/<subject>.h5": "data/features/audio/v1.h5",
    "data/traces/<system>/<subject>.h5": "data/traces/dynamic/v1.h5",
    "data/out_of_fold/<system>/<subject>.h5": "data/out_of_fold/dynamic/v1.h5",
    "data/traces/<system>.out_of_fold/<subject>.h5": "data/traces/dynamic.out_of_fold/v1.h5",
    "data/fused/<fusion>/<subject>.h5": "data/fused/dwf_dynamic_audio/v1.h5",
    "data/fused/<fusion>.out_of_fold/<subject>.h5": "data/fused/dwf_dynamic_audio.out_of_fold/v1.h5",
}


def film(path: Path) -> None:
    """A face, a hum."""
    image = np.ascontiguousarray(portraits.astronaut()[0:256, 96:352])
    with av.open(str(path), "w") as out:
        pictures = out.add_stream("libx264", rate=RATE_HZ, options={"preset": "ultrafast"})
        pictures.width, pictures.height, pictures.pix_fmt = 256, 256, "yuv420p"
        sound = out.add_stream("aac", rate=SOUND_HZ, layout="stereo")
        for _ in range(round(DURATION_S * RATE_HZ)):
            out.mux(pictures.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(pictures.encode(None))
        hum = 0.2 * np.sin(880 * np.arange(round(DURATION_S * SOUND_HZ)) / SOUND_HZ)
        block = np.stack([hum, hum]).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate = SOUND_HZ
        out.mux(sound.encode(frame))
        out.mux(sound.encode(None))


def do(work: Work, units: Sequence[Unit], settings: Any = None) -> None:
    """What a stage does, without its lock and its memo."""
    assert units
    for unit in units:
        do_unit(work, unit, settings)


class Heard(nn.Module):
    """What stands for an audio model: a constant, at every step of a window of 4 s."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.5))

    def forward(self, waveform: Tensor, _mask: Tensor) -> tuple[Tensor, Tensor]:
        level = self.level.expand(len(waveform), 20, 2)
        return level, self.level.expand(len(waveform), 20, 8)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which every stage that writes HDF5 has written."""
    root = tmp_path_factory.mktemp("artefacts")
    params, workspace = load_params(REPOSITORY / "profiles" / "sample.yaml"), Workspace(root)
    compute = params.compute.model_copy(update={"engine": "torch"})  # no networks to convert first
    params = params.model_copy(update={"compute": compute})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VALARO_DEVICE", "cpu")
        heard = TorchAudio(Heard()), {"window_s": 4.0, "fps_hz": 5.0}
        patch.setattr(predict, "_audio", lambda _path, _device, _engine: heard)
        corpus = lay_corpus(root, workspace, params)
        see_and_hear(workspace, corpus, params)
        estimate(workspace, corpus, params)
    gather(workspace)
    yield root


def lay_corpus(root: Path, workspace: Workspace, params: Params) -> Corpus:
    videos, labels = root / "corpus/videos", root / "corpus/annotations"
    videos.mkdir(parents=True)
    (labels / "Validation_Set").mkdir(parents=True)
    film(root / "film.mp4")
    rows = "\n".join(f"{k / 100},{-k / 100}" for k in range(round(DURATION_S * RATE_HZ)))
    for name in NAMES:
        shutil.copy(root / "film.mp4", videos / f"{name}.mp4")
        (labels / "Validation_Set" / f"{name}.txt").write_text(f"valence,arousal\n{rows}\n")
    settings = params.index.model_copy(
        update={"corpus": str(root / "corpus"), "videos": "videos", "lists": ".", "test_list": None}
    )
    found = list_corpus(settings, None).found
    corpus = Corpus([one.subject for one in found], {one.subject.video: str(one.video_file) for one in found})
    workspace.write_corpus(corpus)
    do(index.index_subject, [index.unit_of(one, workspace, params.decode) for one in found], params.index)
    return corpus


def see_and_hear(workspace: Workspace, corpus: Corpus, params: Params) -> None:
    do(decode.decode_video, decode.units(workspace, corpus), params.decode)
    do(search_video, faces.search_units(workspace, corpus, params.faces), params.faces.detection())
    do(faces.find_faces, faces.units(workspace, corpus), params.faces)
    do(mouth.measure_mouth, mouth.units(workspace, corpus), params.mouth)
    plain = params.voice.model_copy(update={"backend": "none"})  # the file is the same whatever separates it
    do(voice.take_voice, voice.units(workspace, corpus, plain, params.compute), plain)
    do(speech.find_speech, speech.units(workspace, corpus), params.speech)


def estimate(workspace: Workspace, corpus: Corpus, params: Params) -> None:
    config = static_config(SMALL, 0.1, True)
    static = workspace.model(f"static/{params.embed.backbone}.safetensors")
    save_model(static, new_static(config, None), config)
    do(
        embed.embed_subject,
        embed.units(workspace, workspace, corpus, params.embed, params.compute),
        params.embed,
    )
    lay_models(workspace, params)
    subjects, compute = corpus.subjects, params.compute
    do(predict.predict_dynamic, predict.dynamic_units(workspace, workspace, subjects, compute))
    sounds = predict.audio_units(workspace, workspace, subjects, params.audio.version, compute)
    do(predict.predict_audio, sounds)
    do(smooth.smooth_subject, smooth.units(workspace, corpus), params.smooth)
    folds = validation_folds(workspace, corpus, params.crossfit)
    for system in ("dynamic", "audio"):
        lay_out_of_fold(workspace, system, folds)
    do(smooth.smooth_out_of_fold, smooth.out_of_fold_units(workspace, corpus, {}), params.smooth)
    fusion = next(iter(FUSIONS))
    quick = params.fuse.model_copy(update={"draws": 10})
    do(fuse.fit_fusion, [fuse.fitting_unit(workspace, subjects, fusion, folds)], quick)
    do(fuse.apply_fusion, fuse.applying_units(workspace, workspace, subjects, fusion))


def lay_out_of_fold(workspace: Workspace, system: str, folds: dict[str, int]) -> None:
    """What the training of a system leaves: here the same prediction for every fold."""
    fitted = Fitted({}, [])
    for fold in set(folds.values()):
        fitted.best[f"mean_ccc_without_fold_{fold}"] = Best(1, 0.5, Path("weights"))
    model = nn.Linear(1, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fitted, "restore", lambda _self, net, _score: net)
        write_out_of_fold(
            workspace.folder("out_of_fold", system),
            fitted,
            model,
            folds,
            ("mean_ccc", "mean_ccc"),
            folds,
            lambda _net, name: predicted(workspace, system, name),
        )


def predicted(workspace: Workspace, system: str, name: str) -> tuple[Any, Any]:
    found = read_arrays(workspace.artefact(f"predictions/{system}", name))
    return found["valence_arousal"], found["time_s"]


def lay_models(workspace: Workspace, params: Params) -> None:
    sizes = {"features": 256, "d_model": 8, "layers": 1, "heads": 2}
    config = {"model": sizes, "window": 10, "fps_hz": 5.0}
    for target in ("valence", "arousal"):
        save_model(workspace.model(f"dynamic/{target}.safetensors"), DynamicModel(**sizes), config)
    from safetensors.numpy import save_file

    save_file(Normaliser.fit("none", []).to_arrays(), workspace.model("dynamic/normalisation.safetensors"))
    audio = workspace.model(f"audio/{params.audio.version}.safetensors")
    audio.parent.mkdir()
    save_file({"weights": np.zeros(1, np.float32)}, audio)  # the model that `Heard` stands for


def gather(workspace: Workspace) -> None:
    jpeg, offset = pack_jpegs([np.zeros((8, 8, 3), np.uint8)] * 2)
    samples = [Sample("DC.avi", "DC", "face", time_s=k / 5, valence=0.5) for k in range(2)]
    write_shard(workspace.artefact("gather/savee", "video-DC"), samples, jpeg, offset)


def kind(value: Any) -> str:
    """A type as the page writes it."""
    if isinstance(value, h5py.Dataset):
        return "text" if value.dtype.kind in "SOU" else str(value.dtype)
    for name, types in {"bool": np.bool_, "int": np.integer, "float": np.floating, "text": np.bytes_}.items():
        if isinstance(value, types):
            return name
    raise TypeError(f"{type(value)} isn't among the page's types")


@pytest.mark.parametrize("pattern", described())
def test_a_file_holds_what_the_page_says(written: Path, pattern: str) -> None:
    _, rows = described()[pattern]
    said = {row.name: row for row in rows}
    with h5py.File(written / FILES[pattern]) as file:
        held = {**file, **file.attrs}
        assert held.keys() <= said.keys()
        assert [name for name in said.keys() - held.keys() if "absent" not in said[name].what] == []
        assert {name: kind(value) for name, value in held.items()} == {n: said[n].type for n in held}
        lengths = {"jpeg": file["jpeg"].shape[0]} if "jpeg" in file else {}
        letters: dict[str, int] = {"B": lengths.get("jpeg", 0)}
        for name, value in file.items():
            fits(value.shape, said[name].shape, letters)
        assert all(said[name].shape == "·" for name in file.attrs)


def fits(shape: tuple[int, ...], said: str, letters: dict[str, int]) -> None:
    """Compare a shape with letters and numbers; a letter means one number throughout a file."""
    wanted = said.split(", ")
    assert len(wanted) == len(shape), said
    for length, word in zip(shape, wanted, strict=True):
        letter, _, more = word.partition(" + ")
        expected = int(word) if word.isdigit() else letters.setdefault(letter, length - int(more or 0))
        assert length == expected + int(more or 0), (said, shape, letters)


def test_every_file_is_tested() -> None:
    assert described().keys() == FILES.keys()


def test_the_stage_that_is_named_says_so_itself() -> None:
    for pattern, (stages, _) in described().items():
        for stage in stages:
            module = (REPOSITORY / "stages" / f"{stage}.py").read_text(encoding="utf-8")
            writes = module[module.index("\nWrites ") : module.index('"""', 10)]
            system = re.escape(pattern).replace("<system>", r"(<system>|dynamic|cross_attention)")
            assert re.search(system.replace("<fusion>", r"<fusion>(\[\.out_of_fold\])?"), writes), (
                stage,
                pattern,
            )


def test_masks_and_times_are_as_the_page_says(written: Path) -> None:
    seen = read_arrays(written / "data/faces/v1.h5")
    assert seen["detected"].all(), "the portrait's face is plain to see"
    assert seen["crop_index"].tolist() == list(range(len(seen["time_s"])))
    np.testing.assert_allclose(seen["time_s"], np.arange(12) / 5)
    heard = soundfile.info(written / "data/decode/v1.flac")
    assert (heard.format, heard.channels, heard.subtype, heard.samplerate) == ("FLAC", 2, "PCM_16", 44_100)
    voice_file = soundfile.info(written / "data/voice/v1.wav")
    assert (voice_file.channels, voice_file.subtype, voice_file.samplerate) == (1, "PCM_16", 16_000)
    assert heard.frames / 44_100 == pytest.approx(DURATION_S) == voice_file.frames / 16_000


def test_the_figures_committed_have_the_keys_named() -> None:
    metrics = REPOSITORY / "metrics"
    assert {"best", "highest", "within_noise", "systems"} <= read_json(metrics / "evaluate.json").keys()
    for file, keys in {
        "audio/v3/metrics.json": {"speaking_window_ccc"},
        "kelm/mean_max.json": {"c", "gamma", "validation"},
        "dynamic/metrics.json": {"best", "windows"},
    }.items():
        assert keys <= read_json(metrics / file).keys()
    note = {"stage", "subject", "file", "problem", "remedy", "quarantined"}
    assert all(found.keys() == note for found in read_json(metrics / "notes.json"))


def test_a_text_can_be_told_from_a_number(tmp_path: Path) -> None:
    """The oracle above."""
    write_arrays(tmp_path / "a.h5", {"x": np.array([b"a"])}, y=1, z="s", b=True)
    with h5py.File(tmp_path / "a.h5") as file:
        assert [kind(file["x"]), *(kind(file.attrs[name]) for name in "yzb")] == [
            "text",
            "int",
            "text",
            "bool",
        ]
