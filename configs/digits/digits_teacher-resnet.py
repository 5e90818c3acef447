# The convolutional teacher of the digits runs, for the methods that want one.
#   python tools/train.py configs/digits/digits_teacher-resnet.py
_base_ = [
    '../_base_/models/teacher-resnet18_digits.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/digits.py',
    '../_base_/default_runtime.py',
]

model = _base_.teacher_model

optim_wrapper = dict(optimizer=dict(lr=2e-3))
# 40 ep = 560 iters * 50 images/iter / 700 images/ep
train_cfg = dict(max_epochs=40, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=1))
