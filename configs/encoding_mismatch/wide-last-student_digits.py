# WideLast's student alone, on digits: what WideLast is compared with.
#   python tools/train.py configs/encoding_mismatch/wide-last-student_digits.py
_base_ = '../digits/digits_student.py'

model = dict(
    backbone=dict(type='mmvitkd.WideLastViT', last_dims=128, last_heads=4),
    head=dict(in_channels=128),
)

# what is wider learns at a quarter of the rate, as the teacher does, or it collapses
wide = dict(lr_mult=0.25)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'backbone.layers.5.': wide, 'head.': wide})
)
