# mmseg's DeepLabV3+ on MobileNetV2, which it has for Cityscapes, by its recipe for
# Pascal VOC; by path: for 'mmseg::' MMEngine wants the official package
_base_ = (
    __import__('mmseg').__path__[0] + '/.mim/configs/deeplabv3plus/'
    'deeplabv3plus_r50-d8_4xb4-40k_voc12aug-512x512.py'
)

model = dict(
    pretrained='mmcls://mobilenet_v2',
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        widen_factor=1.0,
        strides=(1, 2, 2, 1, 1, 1, 1),
        dilations=(1, 1, 1, 2, 2, 4, 4),
        out_indices=(1, 2, 4, 6),
        norm_cfg=dict(type='SyncBN', requires_grad=True),
    ),
    decode_head=dict(in_channels=320, c1_in_channels=24),
    auxiliary_head=dict(in_channels=96),
)
