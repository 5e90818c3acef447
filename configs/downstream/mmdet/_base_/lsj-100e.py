# ViTDet's schedule: 100 epochs of large-scale jitter at 1024x1024, 64 images a step.
# mmdet's own LSJ recipe passes 25 times over the data set repeated 4 times.
_base_ = ['mmdet::common/lsj-100e_coco-instance.py', './adamw.py']


test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=_base_.backend_args),
    dict(type='Resize', scale=(1024, 1024), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]

# 16 GPUs x 4 = 64
train_dataloader = dict(batch_size=4, num_workers=4)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(_delete_=True, **_base_.adamw)

# ViTDet lowers the rate after 163889 and 177546 of 184375 steps: 22.2 and 24.1 of 25
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(
        type='MultiStepLR',
        by_epoch=True,
        begin=0,
        end=25,
        milestones=[22, 24],
        gamma=0.1,
    ),
]
