# Mask R-CNN on the digits' student, alone
#   python tools/downstream/train.py \
#       configs/downstream/digit_scenes/mask-rcnn_vitdet-w32_digit-scenes.py
_base_ = [
    './_base_/mask-rcnn_vitdet-w32.py',
    './_base_/scenes-coco.py',
    './_base_/schedule.py',
]

model = dict(
    backbone=dict(init_cfg=dict(checkpoint='work_dirs/digits_student/epoch_200.pth'))
)
