# ViTKD on the tokens of Mask R-CNN's ViT, after mask-rcnn_vitdet-w128_digit-scenes.py
_base_ = [
    '../digit_scenes/mask-rcnn_vitdet-w32_digit-scenes.py',
    './_base_/vitkd-terms_vitdet.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmvitkd::downstream/dense_digit_scenes/'
        'mask-rcnn_vitdet-w128_digit-scenes.py',
        checkpoint='work_dirs/mask-rcnn_vitdet-w128_digit-scenes/epoch_24.pth',
    ),
    terms=_base_.vitkd_terms,
)
