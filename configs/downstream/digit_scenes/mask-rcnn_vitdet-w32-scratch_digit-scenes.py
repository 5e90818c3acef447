# As its base, from random weights
_base_ = './mask-rcnn_vitdet-w32_digit-scenes.py'

model = dict(backbone=dict(init_cfg=None))
