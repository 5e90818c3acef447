# CSKD's teacher on digits: the ResNet, whose last stage keeps the grid of the
# one before, so that its last map has 2x2 places and not one.
#   python tools/train.py configs/cskd/cskd-teacher_digits.py
_base_ = '../digits/digits_teacher-resnet.py'

model = dict(backbone=dict(strides=(1, 2, 2, 1)))
