# TinyMIM's students: DeiT's widths, with as many heads in the last block as the teacher
# has, six in those of the tiny one; the mean of the patches is classified.
_base_ = '../../_base_/students/deit-tiny_in1k.py'

tiny_student = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch='deit-tiny',
        img_size=_base_.image_size,
        patch_size=16,
        out_type='avg_featmap',
        final_norm=False,
        layer_cfgs=[
            *[dict(num_heads=6, drop_path_rate=0.1)] * 11,
            dict(num_heads=12, drop_path_rate=0.0),
        ],
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=192,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
small_student = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch='deit-small',
        img_size=_base_.image_size,
        patch_size=16,
        out_type='avg_featmap',
        final_norm=False,
        layer_cfgs=[
            *[dict(num_heads=6, drop_path_rate=0.1)] * 11,
            dict(num_heads=12, drop_path_rate=0.0),
        ],
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=384,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
base_student = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch='deit-base',
        img_size=_base_.image_size,
        patch_size=16,
        out_type='avg_featmap',
        final_norm=False,
        layer_cfgs=[
            *[dict(num_heads=12, drop_path_rate=0.1)] * 11,
            dict(num_heads=16, drop_path_rate=0.0),
        ],
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
