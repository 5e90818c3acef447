# Mask R-CNN ViTDet on DeiT-Small under the one on DeiT-Base, ViTKD in both halves: the
# backbone was distilled before (configs/vitkd), then the detector on its own tokens
#   bash tools/dist_train.sh configs/detection/\
#       vitkd_vitdet-deit-small_vitdet-deit-base_16xb4-lsj-100e_coco.py 16 --amp
# after its teacher, configs/downstream/mmdet's. Not yet run.
_base_ = [
    '../downstream/mmdet/mask-rcnn_vitdet-deit-small-vitkd_16xb4-lsj-100e_coco.py',
    './_base_/vitkd-terms_vitdet.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmvitkd::downstream/mmdet/'
        'mask-rcnn_vitdet-deit-base-vitkd_16xb4-lsj-100e_coco.py',
        checkpoint='work_dirs/mask-rcnn_vitdet-deit-base-vitkd_16xb4-lsj-100e_coco/'
        'epoch_25.pth',
    ),
    terms=_base_.vitkd_terms,
)
