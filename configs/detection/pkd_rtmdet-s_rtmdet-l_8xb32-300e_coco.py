# RTMDet-s under RTMDet-l, PKD on the pyramid's levels, behind a linear projector, since
# the student's are half as wide
#   bash tools/dist_train.sh \
#       configs/detection/pkd_rtmdet-s_rtmdet-l_8xb32-300e_coco.py 8
# PKD's paper has no such pair; not yet run.
_base_ = 'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py'

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v3.0/rtmdet/'
        'rtmdet_l_8xb32-300e_coco/'
        'rtmdet_l_8xb32-300e_coco_20220719_112030-5a0be7c4.pth',
    ),
    terms={
        f'fpn{level}': dict(
            student=dict(path='neck', output=level),
            teacher=dict(path='neck', output=level),
            neck=dict(type='mmvitkd.LinearProjector'),
            loss=dict(type='mmvitkd.ProjectorLoss', loss_weight=3.0),
        )
        for level in range(3)
    },
)
