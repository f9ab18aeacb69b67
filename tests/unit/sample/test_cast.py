"""Who plays what: balance, splits, settings."""

import numpy as np
import pytest

from stages.core.errors import BadInput


@pytest.fixture(scope="module")
def clips(full_settings):
    from data.sample.cast import plan

    return plan(full_settings)


def test_every_oddity_occurs_and_none_hides_in_the_test_split(clips):
    oddities = [clip.oddity for clip in clips]
    assert max(o.people for o in oddities) == 2
    assert not all(o.sound for o in oddities)
    for name in ("variable_rate", "avi", "leaves", "unlabelled"):
        assert any(getattr(o, name) for o in oddities), name
    assert {1, -1} <= {np.sign(o.surplus_rows) for o in oddities}
    assert len({clip.rate_hz for clip in clips}) == 4
    assert all(clip.oddity == type(clip.oddity)() for clip in clips if clip.split == "test")


def test_two_people_are_named_by_their_side(clips):
    clip = next(clip for clip in clips if clip.oddity.people == 2)
    assert [role.subject for role in clip.roles] == [f"{clip.name}_left", f"{clip.name}_right"]


def test_nobody_appears_twice(clips):
    people = [role for clip in clips for role in clip.roles]
    assert len({role.subject for role in people}) == len(people)
    assert len({role.looks for role in people}) == len(people)


def test_nothing_about_a_person_or_a_room_gives_the_mood_away(clips):
    people = [(clip, role) for clip in clips for role in clip.roles]
    means = np.array([role.mean for _, role in people])
    traits = np.array([np.concatenate([role.looks.numbers(), clip.wall_rgb]) for clip, role in people])
    also = np.array([[clip.duration_s, clip.snr_db] for clip, _ in people])
    between = np.corrcoef(np.hstack([means, traits]).T)[:2]
    assert np.abs(between[:, 2:]).max() < 0.3
    assert abs(between[0, 1]) < 0.1
    assert np.abs(np.corrcoef(np.hstack([means, also]).T)[:2, 2:]).max() < 0.5  # drawn apart, not balanced


def test_the_plan_is_the_seed_s(full_settings, clips):
    from data.sample.cast import plan

    assert plan(full_settings) == clips
    assert plan(full_settings.model_copy(update={"seed": full_settings.seed + 1})) != clips


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("clip_s", [9, 5], "clip_s: the first value (9.0) must not exceed the second (5.0)"),
        ("face_width_px", [100, 200], "must not exceed 151"),
        ("workers", 0, "workers = 0: Input should be greater than or equal to 1"),
        ("colour", "red", "colour = 'red': Extra inputs are not permitted"),
    ],
)
def test_wrong_settings_are_named_with_their_legal_range(full_settings, tmp_path, key, value, says):
    import yaml

    from data.sample.settings import load_settings

    file = tmp_path / "params.yaml"
    chosen = full_settings.model_dump(mode="json") | {key: value}
    file.write_text(yaml.safe_dump(chosen))
    with pytest.raises(BadInput) as caught:
        load_settings(file)
    assert says in str(caught.value)
