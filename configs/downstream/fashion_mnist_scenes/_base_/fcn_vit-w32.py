# The digit scenes' FCN for the student of configs/fashion_mnist, of one channel.
_base_ = '../../digit_scenes/_base_/fcn_vit-w32.py'

model = dict(
    # of Fashion-MNIST's training images, on which the student was trained
    data_preprocessor=dict(mean=[72.86], std=[89.97]),
    backbone=dict(in_channels=1),
)
