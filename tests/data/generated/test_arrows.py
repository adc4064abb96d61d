"""Arrow pointing: labels by geometry, pictures by their scenes."""

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from graphseq.data import ArrowPointing, load


def _nearest_approach(scenes):
    """How near each ray comes to the centre of the disc, from its arrow's middle on."""
    ahead = np.stack([np.cos(scenes.angle), np.sin(scenes.angle)], 1)
    towards = scenes.disc - scenes.arrow
    along = (towards * ahead).sum(1)
    aside = np.abs(towards[:, 0] * ahead[:, 1] - towards[:, 1] * ahead[:, 0])
    return np.where(along > 0, aside, np.hypot(*towards.T))


@pytest.mark.parametrize("size", [64, 128])
def test_labels_say_whether_the_ray_meets_the_disc_and_no_ray_grazes_it(size):
    scenes = ArrowPointing(size, 2000, factor=1.2, seed=1).scenes
    reach = _nearest_approach(scenes) / scenes.radius
    assert np.array_equal(reach < 1, scenes.hits)
    # Rounding alone may come nearer to the rim.
    assert (reach[scenes.hits] <= 1 / 1.2 + 1e-9).all() and (reach[~scenes.hits] >= 1.2 - 1e-9).all()
    assert scenes.hits.sum() == 1000


def test_an_image_that_is_kept_is_the_one_that_was_drawn():
    drawn, kept = ArrowPointing(64, 3, seed=2), ArrowPointing(64, 3, seed=2, keep=True)
    for _ in range(2):
        assert all(torch.equal(a.x, b.x) for a, b in zip(drawn, kept, strict=True))


def test_disc_and_arrow_lie_where_they_should():
    scenes = ArrowPointing(64, 2000).scenes
    for place in (scenes.arrow, scenes.disc):
        assert place.min() >= 10 and place.max() <= 54
    apart = np.abs(scenes.disc - scenes.arrow)
    assert (apart >= 2 * scenes.radius[:, None] - 1e-9).all()
    assert scenes.radius.min() < 5.1 and scenes.radius.max() > 9.9


def test_pictures_show_the_scene():
    dataset = ArrowPointing(64, 20, seed=3)
    rows, columns = np.mgrid[0:64, 0:64] + 0.5
    for number, data in enumerate(dataset):
        assert data.x.shape == (4096, 1) and data.image_size.tolist() == [[64, 64]]
        image = data.x.view(64, 64).numpy()
        scene = [field[number] for field in dataset.scenes]
        disc = np.hypot(columns - scene[4][0], rows - scene[4][1])
        assert (image[disc < scene[5] - 0.5] == 1).all()
        # The arrow's own ink: its lines reach from the middle to half its length either way.
        outside = image * (disc > scene[5] + 0.5)
        off = np.hypot(columns - scene[0][0], rows - scene[0][1])
        assert (outside[off > scene[2] / 2 + scene[3]] == 0).all()
        tip = scene[0] + scene[2] / 2 * np.array([np.cos(scene[1]), np.sin(scene[1])])
        tail = 2 * scene[0] - tip
        # There is more ink about the tip, where the head is.
        near = [(outside * (np.hypot(columns - p[0], rows - p[1]) < scene[2] / 3)).sum() for p in (tip, tail)]
        assert near[0] > near[1]


def test_a_benchmark_tests_at_twice_the_resolution_and_the_seed_decides_all():
    options = {"num_train": 30, "num_val": 10, "num_test": 10}
    first, same, other = (load("arrow-pointing", seed=seed, **options) for seed in (0, 0, 1))
    assert [len(part) for part in (first.train, first.val, first.test)] == [30, 10, 10]
    assert first.train[3].num_nodes == first.val[3].num_nodes == 64**2 and first.test[3].num_nodes == 128**2
    assert torch.equal(first.test[3].x, same.test[3].x) and not torch.equal(first.test[3].x, other.test[3].x)
    batch = next(iter(DataLoader(first.test, batch_size=4)))
    assert batch.image_size.tolist() == [[128, 128]] * 4
    smaller = load("arrow-pointing", test_size=64, **options)
    assert smaller.test[0].num_nodes == 64**2


def test_digits_are_split_by_class():
    bench = load("digits")
    parts = [torch.stack([data.y for data in part]).flatten() for part in (bench.train, bench.val, bench.test)]
    assert sum(map(len, parts)) == 1797
    for part in parts:
        assert (part.bincount(minlength=10) / len(part) - 0.1).abs().max() < 0.01
    assert bench.train[0].x.shape == (64, 1)
    assert float(max(data.x.max() for data in bench.train)) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"size": 50}, "size must be at least 60, four radii within the padding, got 50"),
        ({"radius": (5, 3)}, r"radius must be \(smallest, largest\) above 0, got \(5, 3\)"),
        ({"factor": 0.5}, r"factor must be at least 1, got 0\.5"),
        ({"num_images": 0}, "num_images must be at least 1, got 0"),
    ],
)
def test_impossible_pictures_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        ArrowPointing(**arguments)
