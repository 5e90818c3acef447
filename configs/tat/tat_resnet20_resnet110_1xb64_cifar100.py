# ResNet-110 teaches ResNet-20 by the target-aware transformer on CIFAR-100,
# arXiv:2205.10793, after teacher-resnet110_1xb64_cifar100.py.
#   python tools/train.py configs/tat/tat_resnet20_resnet110_1xb64_cifar100.py
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './_base_/cifar100.py'

# the weights of the released code for ImageNet with soft labels
model = dict(
    type='mmvitkd.ViTKDDistiller',
    student=_base_.resnet20,
    teacher=dict(
        cfg=_base_.resnet110,
        checkpoint='work_dirs/teacher-resnet110_1xb64_cifar100/epoch_240.pth',
    ),
    task_weight=0.5,
    terms=dict(
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.5),
        ),
        tat=dict(
            student='backbone.layer3',
            teacher='backbone.layer3',
            neck=dict(type='TargetAwareNeck', kernel_size=3),
            loss=dict(type='ViTKDMimicLoss', loss_weight=0.1, reduction='mean'),
        ),
    ),
)
