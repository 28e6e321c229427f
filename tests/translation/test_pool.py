"""What a critic is shown of images that were made before."""

import torch

from robolearn.translation.pool import ImagePool


def numbered(first, count):
    """Images that say which one they are."""
    return torch.arange(first, first + count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def mixed(pool, rounds, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [pool.mix(numbered(batch * i, batch), generator)[:, 0, 0, 0].tolist() for i in range(rounds)]


def test_without_room_new_images_are_given():
    assert mixed(ImagePool(0, (1, 2, 2)), 3) == [[0, 1], [2, 3], [4, 5]]


def test_until_it_is_full_new_images_are_given_and_kept():
    pool = ImagePool(4, (1, 2, 2))
    assert mixed(pool, 2) == [[0, 1], [2, 3]]
    assert int(pool.count) == 4
    assert pool.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]


def test_every_image_is_given_once_or_kept():
    """What is exchanged is neither lost nor doubled."""
    pool = ImagePool(5, (1, 2, 2))
    given = [image for batch in mixed(pool, 50) for image in batch]
    assert sorted(given[5:] + pool.images[:, 0, 0, 0].tolist()) == list(range(100))


def test_half_of_what_is_given_is_old():
    """Of 2000 images; 5 standard deviations of a count are 112."""
    pool = ImagePool(50, (1, 2, 2))
    given = [image for batch in mixed(pool, 1025) for image in batch]
    fresh = sum(number == position for position, number in enumerate(given) if position >= 50)
    assert abs(fresh - 1000) < 112
    assert min(pool.images[:, 0, 0, 0]) > 50


def test_a_pool_goes_on_where_it_was():
    one, other = ImagePool(3, (1, 2, 2)), ImagePool(3, (1, 2, 2))
    mixed(one, 5)
    other.load_state_dict(one.state_dict())
    assert mixed(one, 5, seed=1) == mixed(other, 5, seed=1)
    assert torch.equal(one.images, other.images)


def test_what_is_given_stays_when_the_pool_changes():
    pool, generator = ImagePool(1, (1, 2, 2)), torch.Generator().manual_seed(0)
    given = [pool.mix(numbered(i, 1), generator) for i in range(10)]
    values = [one.mean().item() for one in given]
    pool.images.fill_(-1)
    assert [one.mean().item() for one in given] == values
