# Mask R-CNN on Swin-Tiny by mmdet's own recipe; the student alone
#   bash tools/downstream/dist_train.sh \
#       configs/downstream/mmdet/mask-rcnn_swin-tiny_8xb2-1x_coco.py 8
# The backbone is MMPretrain's, the same network as mmdet's, since mmdet's loads
# whatever fits and passes over the rest.
_base_ = 'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py'


model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SwinTransformer',
        arch='tiny',
        drop_path_rate=0.2,
        out_indices=(0, 1, 2, 3),
        pad_small_map=True,
        init_cfg=dict(
            type='mmvitkd.StrictPretrained',
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/swin-transformer/'
            'swin_tiny_224_b16x64_300e_imagenet_20210616_090925-66df6be6.pth',
            # a classifier has a norm after its last stage only
            expected_missing=[r'norm[012]\..*'],
        ),
    ),
)
