# mmseg's DeepLabV3+ on ResNet-18, which it has for Cityscapes, by its recipe for Pascal
# VOC; by path: for 'mmseg::' MMEngine wants the official package, even beside the fork
_base_ = (
    __import__('mmseg').__path__[0] + '/.mim/configs/deeplabv3plus/'
    'deeplabv3plus_r50-d8_4xb4-40k_voc12aug-512x512.py'
)

model = dict(
    pretrained='open-mmlab://resnet18_v1c',
    backbone=dict(depth=18),
    decode_head=dict(c1_in_channels=64, c1_channels=12, in_channels=512, channels=128),
    auxiliary_head=dict(in_channels=256, channels=64),
)
