# CIFAR-100, and the schedule of RepDistiller (arXiv:1910.10699), in which most CNNs are
# compared on it.
_base_ = ['../../_base_/datasets/cifar100.py', '../../_base_/default_runtime.py']

# all training images; validated on the test split, as there
train_dataloader = dict(
    batch_size=64, dataset=dict(_delete_=True, **_base_.train_images)
)
val_dataloader = dict(_delete_=True, **_base_.test_dataloader)

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
