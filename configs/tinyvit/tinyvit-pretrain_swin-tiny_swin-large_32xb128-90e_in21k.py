# Swin-Large teaches Swin-Tiny on ImageNet-21K without labels, as TinyViT,
# arXiv:2207.10666
#   C=configs/tinyvit/tinyvit-pretrain_swin-tiny_swin-large_32xb128-90e_in21k.py
#   bash tools/dist_train.sh $C 32
# Its figures in the paper are those of the fine-tuned student.
_base_ = './_base_/pretrain.py'

model = dict(
    student=dict(
        type='ImageClassifier',
        backbone=dict(
            type='SwinTransformer', arch='tiny', img_size=224, drop_path_rate=0.0
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=21841,
            in_channels=768,
            init_cfg=None,
            loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        ),
        init_cfg=[
            dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    ),
    teacher=dict(
        cfg=dict(
            type='TimmClassifier',
            model_name='swin_large_patch4_window7_224.ms_in22k',
            num_classes=21841,
        ),
        checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
        'swin_large_patch4_window7_224_22k.pth',
    ),
    terms=dict(kd=dict(teacher='model.head')),
)
data_preprocessor = dict(num_classes=21841)
