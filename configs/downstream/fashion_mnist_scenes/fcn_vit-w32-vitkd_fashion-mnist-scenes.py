# As its base, with the Fashion-MNIST student that was distilled by ViTKD
_base_ = './fcn_vit-w32_fashion-mnist-scenes.py'

model = dict(
    backbone=dict(
        init_cfg=dict(checkpoint='work_dirs/vitkd-tuned_fashion-mnist/epoch_100.pth')
    )
)
