# RetinaNet on ResNet-50 under RetinaNet on ResNeXt-101, MGD, arXiv:2205.01529, on the
# pyramid's levels
#   bash tools/dist_train.sh \
#       configs/detection/mgd_retinanet-r50_retinanet-x101_8xb2-2x_coco.py 8
# The paper's pair; not yet run.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmdet::retinanet/retinanet_x101-64x4d_fpn_1x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/'
        'retinanet_x101_64x4d_fpn_1x_coco/'
        'retinanet_x101_64x4d_fpn_1x_coco_20200130-366f5af1.pth',
    ),
    # lambda = 0.65 and alpha = 2e-5, of a detector of one stage
    terms={
        f'fpn{level}': dict(
            student=dict(path='neck', output=level),
            teacher=dict(path='neck', output=level),
            neck=dict(type='mmvitkd.MGDProjector', masked='places', mask_ratio=0.65),
            loss=dict(type='mmvitkd.ViTKDMimicLoss', loss_weight=2e-5),
        )
        for level in range(5)
    },
)
