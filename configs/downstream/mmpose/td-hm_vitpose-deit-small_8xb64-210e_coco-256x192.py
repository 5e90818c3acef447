# ViTPose on DeiT-Small, arXiv:2204.12484 with the student alone
#   bash tools/downstream/dist_train.sh \
#       configs/downstream/mmpose/td-hm_vitpose-deit-small_8xb64-210e_coco-256x192.py \
#       8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/'
    'td-hm_ViTPose-small_8xb64-210e_coco-256x192.py'
)

model = dict(
    backbone=dict(
        arch='deit-small',  # with 6 heads; mmpose's own small ViT has 12
        init_cfg=dict(
            _delete_=True,
            type='mmvitkd.StrictPretrained',
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/deit/'
            'deit-small_pt-4xb256_in1k_20220218-9425b9bb.pth',
            # the 16x12 map has no class token
            expected_unused=['cls_token'],
        ),
    )
)
