# Mask R-CNN on the Fashion-MNIST student, alone
#   python -m mmvitkd train configs/downstream/fashion_mnist_scenes/\
#       mask-rcnn_vitdet-w32_fashion-mnist-scenes.py
_base_ = [
    './_base_/mask-rcnn_vitdet-w32.py',
    './_base_/scenes-coco.py',
    '../digit_scenes/_base_/schedule.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(checkpoint='work_dirs/fashion-mnist_student/epoch_100.pth')
    )
)

# 6 ep = 1500 iters * 4 images/iter / 1000 images/ep
train_cfg = dict(max_epochs=6, val_interval=6)
