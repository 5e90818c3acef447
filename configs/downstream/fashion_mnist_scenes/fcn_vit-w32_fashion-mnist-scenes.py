# FCN head on the Fashion-MNIST student, alone
#   python -m mmvitkd train configs/downstream/fashion_mnist_scenes/\
#       fcn_vit-w32_fashion-mnist-scenes.py
_base_ = [
    './_base_/fcn_vit-w32.py',
    './_base_/scenes-ade.py',
    '../digit_scenes/_base_/schedule.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(checkpoint='work_dirs/fashion-mnist_student/epoch_100.pth')
    )
)

# 8 ep = 2000 iters * 4 images/iter / 1000 images/ep
train_cfg = dict(max_epochs=8, val_interval=8)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
