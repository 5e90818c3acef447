# The convolutional teacher of the runs on Fashion-MNIST, for the methods that want one.
#   python tools/train.py configs/fashion_mnist/fashion-mnist_teacher-resnet.py
_base_ = [
    '../_base_/models/teacher-resnet18_digits.py',
    '../_base_/datasets/fashion-mnist.py',
    '../_base_/schedules/fashion-mnist.py',
    '../_base_/default_runtime.py',
]

model = _base_.teacher_model
model.backbone.in_channels = 1

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', convert_to_iter_based=True),
]
# 10 ep = 5000 iters * 100 images/iter / 50000 images/ep
train_cfg = dict(max_epochs=10, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))
