# Mask R-CNN ViTDet on DeiT-Small, arXiv:2203.16527 with the student alone
#   bash tools/downstream/dist_train.sh \
#       configs/downstream/mmdet/mask-rcnn_vitdet-deit-small_16xb4-lsj-100e_coco.py \
#       16 --amp
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = ['./_base_/mask-rcnn_vitdet.py', './_base_/lsj-100e.py']

model = dict(
    data_preprocessor=dict(pad_size_divisor=1024),  # images are this size at most
    backbone=dict(
        img_size=1024,
        rel_pos=True,
        init_cfg=dict(
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/deit/'
            'deit-small_pt-4xb256_in1k_20220218-9425b9bb.pth',
            expected_missing=[r'layers\.\d+\.attn\.rel_pos_[hw]'],
        ),
    ),
)
