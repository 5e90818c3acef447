# DeiT-Tiny learns, under half of its multiply-adds, which blocks it can do without,
# taught by itself as it was: UVC's first stage, arXiv:2203.08243
#   bash tools/dist_train.sh configs/uvc/uvc_deit-tiny_8xb64-30e_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = ['../_base_/students/deit-tiny_in1k.py', './_base_/uvc.py']

uncompressed = (
    'https://mmassets.onedl.ai/mmclassification/v0/deit/'
    'deit-tiny_pt-4xb256_in1k_20220218-13b382a0.pth'
)

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=dict(
        _base_.model,
        train_cfg=_base_.uvc_augments,
        init_cfg=dict(type='Pretrained', checkpoint=uncompressed),
    ),
    teacher=dict(
        cfg='mmpretrain::deit/deit-tiny_4xb256_in1k.py', checkpoint=uncompressed
    ),
    task_weight=0.9,
    terms=_base_.uvc_terms,
)
custom_hooks = _base_.uvc_hooks

# 8 GPUs x 64 = 512
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05), clip_grad=dict(max_norm=1.0)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=500, by_epoch=False),
    dict(type='CosineAnnealingLR', convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=30)
auto_scale_lr = dict(base_batch_size=512)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
