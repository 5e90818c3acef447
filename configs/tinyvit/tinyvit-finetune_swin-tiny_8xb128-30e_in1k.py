# Fine-tunes Swin-Tiny on ImageNet-1K, after its pre-training, arXiv:2207.10666. After
# tinyvit-pretrain_swin-tiny_swin-large_32xb128-90e_in21k.py:
#   C=configs/tinyvit/tinyvit-finetune_swin-tiny_8xb128-30e_in1k.py
#   bash tools/dist_train.sh $C 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './_base_/finetune.py'

# what the pre-training leaves; its classifier is not used
student_checkpoint = (
    'work_dirs/tinyvit-pretrain_swin-tiny_swin-large_32xb128-90e_in21k/epoch_90.pth'
)

model = dict(
    backbone=dict(
        type='SwinTransformer',
        arch='tiny',
        img_size=_base_.image_size,
        drop_path_rate=0.0,
        init_cfg=dict(
            type='Pretrained', checkpoint=student_checkpoint, prefix='student.backbone.'
        ),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
