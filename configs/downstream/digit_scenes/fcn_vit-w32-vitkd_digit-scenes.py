# As its base, with the digits' student that was distilled by ViTKD
_base_ = './fcn_vit-w32_digit-scenes.py'

model = dict(
    backbone=dict(init_cfg=dict(checkpoint='work_dirs/vitkd_digits/epoch_200.pth'))
)
