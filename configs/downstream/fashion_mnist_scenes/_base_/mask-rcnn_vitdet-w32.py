# The digit scenes' Mask R-CNN for the student of configs/fashion_mnist, of one channel.
_base_ = '../../digit_scenes/_base_/mask-rcnn_vitdet-w32.py'

model = dict(
    # of Fashion-MNIST's training images, on which the student was trained
    data_preprocessor=dict(mean=[72.86], std=[89.97], bgr_to_rgb=False),
    backbone=dict(in_channels=1),
)
