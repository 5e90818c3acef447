# As its base, from random weights
_base_ = './mask-rcnn_vitdet-w32_fashion-mnist-scenes.py'

model = dict(backbone=dict(init_cfg=None))
