# Mask R-CNN ViTDet on DeiT-Small, a light recipe for one GPU; the student alone
#   python tools/downstream/train.py \
#       configs/downstream/mmdet/mask-rcnn_vitdet-deit-small_1xb4-ms-1x_coco.py --amp
# Our own recipe: no figures to compare with.
_base_ = ['./_base_/mask-rcnn_vitdet.py', './_base_/ms-1x.py']

model = dict(
    # whole windows of 14 x 16 pixels, and no image that is smaller than one
    data_preprocessor=dict(pad_size_divisor=224),
    backbone=dict(
        img_size=800,
        with_cp=True,
        init_cfg=dict(
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/deit/'
            'deit-small_pt-4xb256_in1k_20220218-9425b9bb.pth'
        ),
    ),
)
