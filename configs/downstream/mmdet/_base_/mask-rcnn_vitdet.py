# Mask R-CNN on a plain ViT, as in ViTDet, arXiv:2203.16527 (detectron2's
# configs/common/models/mask_rcnn_vitdet.py): two convolutions in the RPN, four and a
# linear layer in the box head, LayerNorm in all heads.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

norm_cfg = dict(type='mmpretrain.LN2d', eps=1e-6)

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitkd.ViTDet',
        arch='deit-small',
        drop_path_rate=0.1,
        init_cfg=dict(
            type='mmvitkd.StrictPretrained',
            checkpoint='',
            # the detector has neither a class token nor a norm after the last block
            expected_unused=['cls_token', r'ln1\..*'],
        ),
    ),
    neck=dict(_delete_=True, type='mmvitkd.SimpleFPN', in_channels=384),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
)
