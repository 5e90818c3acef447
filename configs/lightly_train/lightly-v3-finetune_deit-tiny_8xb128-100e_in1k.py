# Fine-tunes what lightly-v3_deit-tiny_dinov3-base_8xb192_in1k.py left on ImageNet's
# labels; student_checkpoint=FILE takes another's
#   bash tools/dist_train.sh \
#     configs/lightly_train/lightly-v3-finetune_deit-tiny_8xb128-100e_in1k.py 8
# Not yet run here.
_base_ = '../_base_/students/deit-tiny_in1k.py'

student_checkpoint = (
    'work_dirs/lightly-v3_deit-tiny_dinov3-base_8xb192_in1k/epoch_300.pth'
)
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='mmvitkd.StrictPretrained',
            checkpoint=student_checkpoint,
            prefix='student.backbone.',
        )
    )
)

# 8 GPUs x 128 = 1024; a quarter of the rate from the beginning, less for lower layers
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    constructor='mmvitkd.LearningRateDecayOptimWrapperConstructor',
    optimizer=dict(lr=2.5e-4),
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.8),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-3,
        by_epoch=True,
        end=5,
        convert_to_iter_based=True,
    ),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, begin=5),
]
train_cfg = dict(max_epochs=100)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
