# ViTKD on the tokens of FCN's ViT, after fcn_vit-w128_digit-scenes.py
_base_ = ['../digit_scenes/fcn_vit-w32_digit-scenes.py', './_base_/vitkd-terms.py']

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmvitkd::downstream/dense_digit_scenes/fcn_vit-w128_digit-scenes.py',
        checkpoint='work_dirs/fcn_vit-w128_digit-scenes/epoch_40.pth',
    ),
    terms=_base_.vitkd_terms,
)
