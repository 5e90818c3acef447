# The teacher: an FCN head on the digits' teacher, four times as wide as the student
#   python -m mmvitkd train \
#       configs/downstream/dense_digit_scenes/fcn_vit-w128_digit-scenes.py
_base_ = '../digit_scenes/fcn_vit-w32_digit-scenes.py'

model = dict(
    backbone=dict(
        arch=dict(embed_dims=128, num_heads=4, feedforward_channels=512),
        init_cfg=dict(checkpoint='work_dirs/digits_teacher/epoch_40.pth'),
    ),
    decode_head=dict(in_channels=128),
)
# longer and at a lower rate than the student's: see README.md
train_cfg = dict(max_epochs=40)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
