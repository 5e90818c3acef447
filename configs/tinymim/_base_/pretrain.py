# Pre-training by a teacher's relations, without labels. Whole but for student, teacher
# and term.
_base_ = './students.py'

model = dict(_delete_=True, type='mmvitkd.ViTKDDistiller', task_weight=0)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop',
        scale=_base_.image_size,
        crop_ratio_range=(0.2, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
# 32 GPUs x 64 = 2048, for which lr = 1.5e-4 * 2048 / 256
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=1.2e-3, betas=(0.9, 0.95)), clip_grad=None)
auto_scale_lr = dict(base_batch_size=2048)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=15, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=15, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=300)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
# its classifier learns nothing yet
val_dataloader = None
val_cfg = None
val_evaluator = None
test_dataloader = None
test_cfg = None
test_evaluator = None
