# Mask R-CNN ViTDet on DeiT-Base, arXiv:2203.16527 with the student alone
#   bash tools/downstream/dist_train.sh \
#       configs/downstream/mmdet/mask-rcnn_vitdet-deit-base_16xb4-lsj-100e_coco.py \
#       16 --amp
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './mask-rcnn_vitdet-deit-small_16xb4-lsj-100e_coco.py'

model = dict(
    backbone=dict(
        arch='deit-base',
        init_cfg=dict(
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/deit/'
            'deit-base_pt-16xb64_in1k_20220216-db63c16c.pth'
        ),
    ),
    neck=dict(in_channels=768),
)
