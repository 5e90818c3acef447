# As its base, with NKD, arXiv:2303.13005, of every labelled pixel beside it
#   bash tools/dist_train.sh configs/segmentation/\
#       vitkd-nkd_upernet-deit-small_upernet-deit-base_8xb2-160k_ade20k-512x512.py 8
# NKD's paper has no segmentors, and the weight is untried; not yet run.
_base_ = './vitkd_upernet-deit-small_upernet-deit-base_8xb2-160k_ade20k-512x512.py'

model = dict(
    terms=dict(
        nkd=dict(
            student='decode_head.conv_seg',
            teacher='decode_head.conv_seg',
            loss=dict(type='mmvitkd.NKDLoss'),
        )
    )
)
