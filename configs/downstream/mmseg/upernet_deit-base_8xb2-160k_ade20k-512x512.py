# UPerNet, arXiv:1807.10221, on DeiT-Base by mmseg's own recipe; the student alone
#   bash tools/downstream/dist_train.sh \
#       configs/downstream/mmseg/upernet_deit-base_8xb2-160k_ade20k-512x512.py 8
# The paper gives no figure for it.
_base_ = './upernet_deit-small_8xb2-160k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='deit-base',
        init_cfg=dict(
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/deit/'
            'deit-base_pt-16xb64_in1k_20220216-db63c16c.pth'
        ),
    ),
    neck=dict(in_channels=[768] * 4, out_channels=768),
    decode_head=dict(in_channels=[768] * 4),
    auxiliary_head=dict(in_channels=768),
)
