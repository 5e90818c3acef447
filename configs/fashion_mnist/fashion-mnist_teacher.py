# The teacher of the runs on Fashion-MNIST.
#   python tools/train.py configs/fashion_mnist/fashion-mnist_teacher.py
_base_ = [
    '../_base_/models/teacher-vit-w64_fashion-mnist.py',
    '../_base_/datasets/fashion-mnist.py',
    '../_base_/schedules/fashion-mnist.py',
    '../_base_/default_runtime.py',
]

model = _base_.teacher_model

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', convert_to_iter_based=True),
]
# 15 ep = 7500 iters * 100 images/iter / 50000 images/ep
train_cfg = dict(max_epochs=15, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))
