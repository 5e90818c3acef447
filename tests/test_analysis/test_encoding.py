import pytest
import torch

from mmvitkd.inspection.encoding import EncodingMeter


def measured(*batches: torch.Tensor):
    meter = EncodingMeter()
    for batch in batches:
        meter.update(batch)
    return meter.compute()


def test_images_of_one_direction_each_need_all_of_them_together():
    """Eight images; every one has a channel of its own, alike in all its tokens."""
    images = torch.eye(8)[:, None].expand(8, 3, 8)
    found = measured(*images.split(4))
    assert (found.width, found.image, found.together) == (8, 1.0, 8)
    assert found.bandwidth == 1.0  # 90 % of eight equal frequencies takes them all
    assert [found.is_mismatch(width) for width in (1, 4, 7, 8)] == [True] * 3 + [False]
    text = found.describe(4)
    assert 'in 1 of 8 dimensions for one image, and in 8 for all images' in text
    assert text.endswith('The student has 4 channels.')


def test_a_student_too_narrow_for_an_image_is_another_matter():
    images = torch.eye(8).expand(5, 8, 8)
    found = measured(images)
    assert (found.image, found.together) == (8, 8)
    assert not found.is_mismatch(4)


def test_the_mean_token_is_measured_too():
    """It is not taken off: tokens that are all alike have one dimension, not none."""
    found = measured(torch.ones(3, 4, 8))
    assert (found.image, found.together) == (1, 1)
    assert found.bandwidth == pytest.approx(1 / 8)
