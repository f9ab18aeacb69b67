"""The wav2vec 2.0 backbone: where it comes from, what is switched off, which frames are real."""

import json

import pytest
import torch

from stages.audio.backbone import (
    FAMILIES,
    PROVENANCE,
    build_backbone,
    encode,
    hidden_size,
    plain_config,
)
from stages.audio.convolutions import Convolutions, frames_of, receptive_field
from stages.core.errors import BadInput

from .conftest import SMALL_WAV2VEC


@pytest.fixture(scope="module")
def small():
    return build_backbone(SMALL_WAV2VEC).eval()


def same(one, other) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_the_seed_decides_the_weights_and_torch_s_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = build_backbone(SMALL_WAV2VEC, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(77)
    assert same(one, build_backbone(SMALL_WAV2VEC, seed=1))
    assert not same(one, build_backbone(SMALL_WAV2VEC, seed=2))


def test_spec_augment_and_layer_drop_are_off_whatever_the_configuration_says():
    noisy = build_backbone(
        SMALL_WAV2VEC | {"layerdrop": 0.9, "apply_spec_augment": True, "mask_time_prob": 0.9}
    )
    silent = {
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "feat_proj_dropout": 0.0,
    }
    quiet = build_backbone(noisy.config.to_dict() | silent | {"layerdrop": 0.9, "apply_spec_augment": True})
    waveform = torch.randn(2, 4000)
    assert noisy.config.layerdrop == 0
    assert torch.equal(quiet.train()(waveform).last_hidden_state, quiet(waveform).last_hidden_state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hiden_size": 3, "conv_dims": 2}, "conv_dims, hiden_size"),
        ({"conv_dim": [8]}, "hold together"),
        ({"hidden_size": "wide"}, "hold together"),
        ({"num_attention_heads": 3}, "hold together"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(SMALL_WAV2VEC | change)


def test_a_folder_gives_back_what_was_saved(tmp_path, small):
    small.save_pretrained(tmp_path)
    assert same(build_backbone(tmp_path), small)


def test_a_published_checkpoint_with_its_old_names_and_foreign_heads_loads(tmp_path, small):
    """As PDEM is published: prefixed, weight norm by its old names, a classifier on top, a .bin file."""
    old = {"original0": "weight_g", "original1": "weight_v"}
    state = {}
    for key, value in small.state_dict().items():
        stem, _, last = key.partition("parametrizations.weight.")
        state[f"wav2vec2.{stem}{old.get(last, last)}"] = value
    state["classifier.dense.weight"] = torch.zeros(3, 16)
    torch.save(state, tmp_path / "pytorch_model.bin")
    published = {"architectures": ["Wav2Vec2ForSpeechClassification"], "finetuning_task": "wav2vec2_reg"}
    (tmp_path / "config.json").write_text(json.dumps(small.config.to_dict() | published))
    loaded = build_backbone(str(tmp_path))
    assert same(loaded, small)
    assert same(build_backbone(plain_config(loaded), seed=0), small)  # SMALL_WAV2VEC's own draw


def test_a_plain_configuration_is_plain_and_complete(small):
    config = plain_config(small)
    assert json.loads(json.dumps(config)) == config
    again = build_backbone(config)
    shapes = {key: value.shape for key, value in again.state_dict().items()}
    assert shapes == {key: value.shape for key, value in small.state_dict().items()}
    different = {key for key, value in small.config.to_dict().items() if again.config.to_dict()[key] != value}
    assert different <= PROVENANCE


def test_what_is_no_model_is_bad_input_with_a_remedy(tmp_path, small):
    with pytest.raises(BadInput, match=r"no wav2vec 2\.0 model there"):
        build_backbone(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(BadInput, match="holds a bert model"):
        build_backbone(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(small.config.to_dict()))
    for damaged in (b"", b"not a checkpoint"):
        (tmp_path / "model.safetensors").write_bytes(damaged)
        with pytest.raises(BadInput, match="can't be loaded"):
            build_backbone(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="can't be loaded"):
        build_backbone(tmp_path)
    wider = small.config.to_dict() | {"hidden_size": 32}
    torch.save(small.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(wider))
    with pytest.raises(BadInput, match="can't be loaded"):
        build_backbone(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(wider | {"hidden_size": "wide"}))
    with pytest.raises(BadInput, match=r"no wav2vec 2\.0 model there"):
        build_backbone(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(small.config.to_dict()))
    state = small.state_dict()
    del state["encoder.layers.1.attention.k_proj.weight"]
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(
        BadInput, match=r"1 weights are missing, encoder\.layers\.1\.attention\.k_proj\.weight"
    ):
        build_backbone(tmp_path)


def test_offline_a_hub_s_name_that_was_never_downloaded_is_bad_input(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(BadInput, match="Put the model's config"):
        build_backbone("nobody/never-downloaded", offline=True)


@pytest.mark.parametrize("samples", [82, 100, 121, 122, 4000, 4321])
def test_frames_are_counted_as_the_convolutions_make_them(small, samples):
    made = small(torch.randn(1, samples)).last_hidden_state.shape[1]
    assert frames_of(small.config, torch.tensor(samples)) == made


def test_the_paper_s_convolutions_make_199_frames_of_four_seconds():
    from transformers import Wav2Vec2Config

    config = Wav2Vec2Config(hidden_size=1024)
    assert frames_of(config, torch.tensor([64_000, 400, 399, 0])).tolist() == [199, 1, 1, 1]
    assert receptive_field(config) == 400


def test_only_real_samples_are_heard(small):
    real, total = 2500, 4000
    mask = torch.arange(total) < torch.tensor([[real], [total], [0]])
    waveform = torch.randn(3, total, generator=torch.Generator().manual_seed(0))
    other = torch.where(mask, waveform, float("nan"))
    with torch.inference_mode():
        hidden, frames = encode(small, waveform, mask)
        again, _ = encode(small, other, mask)
        alone, none = encode(small, waveform[1:2], None)
    assert torch.equal(hidden, again)
    assert frames.sum(1).tolist() == [frames_of(small.config, torch.tensor(real)), 99, 1]
    assert not hidden[~frames].any()
    assert none is None
    torch.testing.assert_close(hidden[1:2], alone, atol=1e-6, rtol=1e-5)
    assert hidden_size(small) == hidden.shape[2] == 16


def test_a_padded_window_says_the_same_as_the_short_one_alone(small):
    """Exactly so where every norm is per frame: padding then reaches no real frame."""
    waveform = torch.randn(1, 2500, generator=torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(waveform, (0, 1500))
    with torch.inference_mode():
        short, _ = encode(small, waveform, None)
        long, _ = encode(small, padded, (torch.arange(4000) < 2500)[None])
    torch.testing.assert_close(long[:, : short.shape[1]], short, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_siblings_are_built_loaded_drawn_again_and_deaf_to_padding(tmp_path, family):
    """By folder as by configuration: HuBERT, WavLM ... give what wav2vec 2.0 gives, mask included."""
    built = build_backbone(SMALL_WAV2VEC | {"model_type": family}, seed=3).eval()
    assert built.config.model_type == family
    built.save_pretrained(tmp_path)
    loaded = build_backbone(str(tmp_path), offline=True).eval()
    assert type(loaded) is type(built)
    assert same(loaded, built)
    again = build_backbone(plain_config(loaded), seed=3)
    assert type(again) is type(built)
    assert same(again, built)
    mask = (torch.arange(4000) < 2500)[None]
    waveform = torch.randn(1, 4000, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        short, _ = encode(built, waveform[:, :2500], None)
        padded, frames = encode(built, torch.where(mask, waveform, 1e6), mask)
    assert int(frames.sum()) == short.shape[1] == frames_of(built.config, torch.tensor(2500))
    torch.testing.assert_close(padded[:, : short.shape[1]], short, atol=1e-5, rtol=1e-5)


def test_families_that_are_no_siblings_are_refused_by_name():
    with pytest.raises(ValueError, match="model_type is 'whisper', must be one of wav2vec2, hubert, wavlm"):
        build_backbone(SMALL_WAV2VEC | {"model_type": "whisper"})
    with pytest.raises(ValueError, match="not a key of a hubert configuration: adapter_kernel_size"):
        build_backbone(SMALL_WAV2VEC | {"model_type": "hubert", "adapter_kernel_size": 3})


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_configuration_leaves_out_is_what_the_library_takes(family):
    import transformers

    usual = getattr(transformers, f"{FAMILIES[family]}Config")()
    assert Convolutions.of({}) == Convolutions(
        tuple(usual.conv_kernel), tuple(usual.conv_stride), usual.feat_extract_norm
    )
    small = build_backbone(SMALL_WAV2VEC | {"model_type": family})
    found, wanted = Convolutions.of(plain_config(small)), small.config
    assert (*found.conv_kernel,) == (*wanted.conv_kernel,)
    assert (*found.conv_stride,) == (*wanted.conv_stride,)
    assert found.feat_extract_norm == wanted.feat_extract_norm
