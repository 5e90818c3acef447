# configs/downstream/mmdet's Mask R-CNN for the student of configs/digits: a map of
# 12x12 tokens from images of 96x96, heads of a quarter of the width or less.
_base_ = ['../../mmdet/_base_/mask-rcnn_vitdet.py', 'mmdet::_base_/default_runtime.py']

width = 32

model = dict(
    # of the digits' training images, on which the student was trained
    data_preprocessor=dict(mean=[77.66] * 3, std=[95.79] * 3),
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims=32,
            num_layers=6,
            num_heads=2,
            feedforward_channels=128,
        ),
        img_size=96,
        patch_size=8,
        pos_resize='load',
        window_size=4,  # the whole map of a digit alone
        global_blocks=2,
        drop_path_rate=0.0,
    ),
    # with patches of 8 its strides are 2, 4, 8, 16 and 32
    neck=dict(in_channels=32, out_channels=width),
    rpn_head=dict(
        num_convs=1,
        in_channels=width,
        feat_channels=width,
        anchor_generator=dict(strides=[2, 4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            out_channels=width, featmap_strides=[2, 4, 8, 16], finest_scale=14
        ),
        bbox_head=dict(
            type='Shared2FCBBoxHead',
            in_channels=width,
            fc_out_channels=128,
            num_classes=10,
        ),
        mask_roi_extractor=dict(
            out_channels=width, featmap_strides=[2, 4, 8, 16], finest_scale=14
        ),
        mask_head=dict(
            num_convs=2, in_channels=width, conv_out_channels=width, num_classes=10
        ),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=300, max_per_img=100),
        rcnn=dict(sampler=dict(num=24)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100), rcnn=dict(max_per_img=20)),
)
