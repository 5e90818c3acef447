# ResNet-34 teaches ResNet-18 by the target-aware transformer, arXiv:2205.10793
#   bash tools/dist_train.sh configs/tat/tat_resnet18_resnet34_8xb256_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = '../_base_/students/resnet18_in1k.py'

# as released: a = 0.1 for the task, b = 0 for soft labels, e = 0.2
model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmpretrain::resnet/resnet34_8xb32_in1k.py',
        checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
        'resnet/resnet34_8xb32_in1k_20210831-f257d4e6.pth',
    ),
    task_weight=0.1,
    terms=dict(
        tat=dict(
            student='backbone.layer4',
            teacher='backbone.layer4',
            neck=dict(type='TargetAwareNeck', kernel_size=3),
            loss=dict(type='ViTKDMimicLoss', loss_weight=0.2, reduction='mean'),
        ),
    ),
)

# 8 GPUs x 256 = 2048; upstream's 100 epochs, by a tenth after 30, 60 and 90
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1.6e-3, weight_decay=5e-4)
)
auto_scale_lr = dict(base_batch_size=2048)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
