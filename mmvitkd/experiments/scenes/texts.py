"""What the pages say of what they are about."""

from typing import NamedTuple


class Text(NamedTuple):
    """Of a page."""

    page: str  # its name
    title: str
    images: str  # what the students are trained on
    classes: str
    introduction: str  # with the scenes' settings to be put in
    kinds: str = 'begins with'  # the heading over what is compared
    whose: str = 'its'  # the student that is meant by the next heading


TEXTS = {
    'digits': Text(
        page='downstream',
        title='Detection and segmentation on digit scenes',
        images='digits',
        classes='digits',
        introduction="""\
The students of `configs/digits`, fine-tuned to find and to segment digits over
photographs: {train} scenes to train on and {val} to test on, drawn by
`python -m mmvitkd draw-scenes` with seed {seed}. Neither scans nor photographs are
shared by the two. The table compares three beginnings of the backbone, with equal
budgets and everything else the same; each seed has students of its own, trained by
`configs/digits/digits_student.py` (the baseline, without distillation) and
`configs/digits/vitkd_digits.py` under one teacher.
`configs/downstream/digit_scenes/README.md` tells how the recipe was chosen and what
had been seen before.

This is a small experiment on small images, whose purpose is to show the whole way from
distillation to detection and segmentation. It is no measurement of the method at the
size of the paper.""",
    ),
    'fashion-mnist': Text(
        page='downstream-fashion-mnist',
        title='Detection and segmentation on Fashion-MNIST scenes',
        images='Fashion-MNIST',
        classes='articles',
        introduction="""\
The students of `configs/fashion_mnist`, fine-tuned to find and to segment articles over
photographs: {train} scenes to train on and {val} to test on, drawn by
`python -m mmvitkd draw-scenes --dataset fashion-mnist` with seed {seed}. Neither images
nor photographs are shared by the two. The table compares three beginnings of the
backbone, with equal budgets and everything else the same. Each seed has students of its
own, trained by `configs/fashion_mnist/fashion-mnist_student.py` (the baseline, without
distillation) and `configs/fashion_mnist/vitkd-tuned_fashion-mnist.py` under one
teacher; of a seed both begin with the same weights, and their fine-tunings with the
same heads and order of scenes. `configs/downstream/fashion_mnist_scenes/README.md` has
the protocol, which was written down before the first result.""",
    ),
    'models': Text(
        page='dense-students',
        title='Detectors and segmentors distilled on digit scenes',
        images='digits',
        classes='digits',
        kinds='model',
        whose="its backbone's",
        introduction="""\
Mask R-CNN and FCN on the student of `configs/digits`, trained to find and to segment
digits over photographs alone, and under a teacher of the same kind whose backbone is
four times as wide: {train} scenes to train on and {val} to test on, drawn by
`python -m mmvitkd draw-scenes` with seed {seed}. Neither scans nor photographs are
shared by the two. All students of a seed begin with the same backbone, trained by
`configs/digits/digits_student.py`, and have equal budgets; there is one teacher, which
begins with `configs/digits/digits_teacher.py`.
`configs/downstream/dense_digit_scenes/README.md` has the terms and their weights.

This is a small experiment on small images. It is no measurement of the methods at the
size of their papers.""",
    ),
}
