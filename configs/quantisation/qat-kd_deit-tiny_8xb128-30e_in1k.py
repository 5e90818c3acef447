# DeiT-Tiny learns in INT8 what it knew in float32: quantisation-aware distillation.
#   bash tools/dist_train.sh configs/quantisation/qat-kd_deit-tiny_8xb128-30e_in1k.py 8
# Not run here.
_base_ = '../_base_/students/deit-tiny_in1k.py'

trained = (
    'https://mmassets.onedl.ai/mmclassification/v0/deit/'
    'deit-tiny_pt-4xb256_in1k_20220218-13b382a0.pth'
)

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    quantisation=dict(),
    student=dict(_base_.model, init_cfg=dict(type='Pretrained', checkpoint=trained)),
    teacher=dict(cfg='mmpretrain::deit/deit-tiny_4xb256_in1k.py', checkpoint=trained),
    task_weight=0.5,
    terms=dict(
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.5),
        ),
    ),
)

# 8 GPUs x 128 = 1024
train_dataloader = dict(batch_size=128)
# a twentieth of the rate that it was trained with, no warm-up, float32 throughout
optim_wrapper = dict(optimizer=dict(lr=5e-5))
param_scheduler = [dict(type='CosineAnnealingLR', convert_to_iter_based=True)]
train_cfg = dict(max_epochs=30)
auto_scale_lr = dict(base_batch_size=1024)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
