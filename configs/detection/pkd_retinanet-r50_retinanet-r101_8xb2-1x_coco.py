# RetinaNet on ResNet-50 under RetinaNet on ResNet-101, PKD on the pyramid's levels
#   bash tools/dist_train.sh \
#       configs/detection/pkd_retinanet-r50_retinanet-r101_8xb2-1x_coco.py 8
# PKD's own pairs have other teachers; not yet run.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmdet::retinanet/retinanet_r101_fpn_2x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/'
        'retinanet_r101_fpn_2x_coco/'
        'retinanet_r101_fpn_2x_coco_20200131-5560aee8.pth',
    ),
    terms={
        f'fpn{level}': dict(
            student=dict(path='neck', output=level),
            teacher=dict(path='neck', output=level),
            # 6 times half of the squared distance of standardised channels
            loss=dict(type='mmvitkd.ProjectorLoss', loss_weight=3.0),
        )
        for level in range(4)
    },
)
