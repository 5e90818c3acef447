_base_ = [
    '../_base_/models/teacher-vit-w128_digits.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/digits.py',
    '../_base_/default_runtime.py',
]

model = _base_.teacher_model

# 40 ep = 560 iters * 50 images/iter / 700 images/ep
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=40, val_interval=4)
