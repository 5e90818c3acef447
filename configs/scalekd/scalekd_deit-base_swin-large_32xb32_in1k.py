# Swin-Large (ImageNet-21K) teaches DeiT-Base by ScaleKD, arXiv:2411.06786
#   bash tools/dist_train.sh \
#     configs/scalekd/scalekd_deit-base_swin-large_32xb32_in1k.py 32
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = ['../vitkd/vitkd_deit-base_deit3-large_8xb128_in1k.py', './_base_/scalekd.py']

model = dict(
    # the mean of the patches is classified, without a class token
    student=dict(
        backbone=dict(with_cls_token=False, out_type='featmap', drop_path_rate=0.0),
        neck=dict(_delete_=True, type='GlobalAveragePooling'),
        head=dict(
            _delete_=True,
            type='LinearClsHead',
            num_classes=1000,
            in_channels=768,
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        ),
        # neither Mixup nor CutMix
        train_cfg=None,
    ),
    teacher=dict(_delete_=True, **_base_.swin_large_teacher),
    task_weight=0.5,
    terms=dict(_delete_=True, **_base_.scalekd_terms),
)

# 32 GPUs x 32 = 1024, for which lr = 1e-3
train_dataloader = dict(batch_size=32)
# validated and exported as averaged
custom_hooks = [dict(type='EMAHook', momentum=1e-4, priority='ABOVE_NORMAL')]
