# A light recipe for one small GPU: mmdet's 1x (12 epochs), short sides from 512 to 800,
# 16 images a step in four parts.
_base_ = [
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
    './adamw.py',
]


train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=_base_.backend_args),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, short) for short in range(512, 801, 32)],
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    dataset=dict(pipeline=train_pipeline),
)

optim_wrapper = dict(_delete_=True, accumulative_counts=4, **_base_.adamw)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))

# a batch of one GPU, four of which make a step
auto_scale_lr = dict(enable=False, base_batch_size=4)
