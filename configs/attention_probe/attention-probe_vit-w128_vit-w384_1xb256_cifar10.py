# The same on CIFAR-10, after teacher_cifar10.py:
#   C=configs/attention_probe/attention-probe_vit-w128_vit-w384_1xb256_cifar10.py
#   python -m mmvitkd select $C --images data/imagenet/train --count 650000 \
#     --out data/wild/cifar10
#   python tools/train.py $C
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './attention-probe_vit-w128_vit-w384_1xb256_cifar100.py'

teacher_accuracy = 0.9665

model = dict(
    student=dict(head=dict(num_classes=10)),
    teacher=dict(
        cfg=dict(head=dict(num_classes=10)),
        checkpoint='work_dirs/teacher_cifar10/epoch_300.pth',
    ),
    terms=dict(
        noise=dict(loss=dict(num_classes=10, teacher_accuracy=teacher_accuracy))
    ),
)
data_preprocessor = dict(num_classes=10)
train_dataloader = dict(dataset=dict(ann_file='data/wild/cifar10/selected.txt'))
val_dataloader = dict(dataset=dict(type='CIFAR10', data_root='data/cifar10'))
test_dataloader = val_dataloader
# as released
optim_wrapper = dict(
    optimizer=dict(lr=7.5e-4),
    paramwise_cfg=dict(custom_keys={'noise.loss': dict(lr_mult=1e-3 / 7.5e-4)}),
)
