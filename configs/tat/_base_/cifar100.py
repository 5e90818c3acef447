# CIFAR-100, and the schedule of RepDistiller (arXiv:1910.10699), in which most CNNs are
# compared on it.
_base_ = [
    'mmpretrain::_base_/datasets/cifar100_bs16.py',
    '../../_base_/default_runtime.py',
]

data_root = 'data/cifar100'
train_dataloader = dict(batch_size=64, dataset=dict(data_root=data_root))
val_dataloader = dict(batch_size=256, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1, 5))
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = dict(type='MultiStepLR', milestones=[150, 180, 210], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=240, val_interval=10)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(checkpoint=dict(interval=40, max_keep_ckpts=2))

head = dict(
    type='LinearClsHead',
    num_classes=100,
    in_channels=64,
    loss=dict(type='CrossEntropyLoss'),
)
resnet20 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmvitkd.CIFARResNet', depth=20),
    neck=dict(type='GlobalAveragePooling'),
    head=head,
)
resnet110 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmvitkd.CIFARResNet', depth=110),
    neck=dict(type='GlobalAveragePooling'),
    head=head,
)
