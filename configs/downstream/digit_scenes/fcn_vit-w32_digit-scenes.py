# FCN head on the digits' student, alone
#   python tools/downstream/train.py \
#       configs/downstream/digit_scenes/fcn_vit-w32_digit-scenes.py
_base_ = [
    './_base_/fcn_vit-w32.py',
    './_base_/scenes-ade.py',
    './_base_/schedule.py',
]

model = dict(
    backbone=dict(init_cfg=dict(checkpoint='work_dirs/digits_student/epoch_200.pth'))
)

# 20 ep = 1500 iters * 4 images/iter / 300 images/ep
train_cfg = dict(max_epochs=20, val_interval=5)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
