# Two teachers and a DeiT-Tiny with learned tokens: Co-advise without its stems.
#   CONFIG=co-advise-plain_deit-tiny_regnety-600mf-halonet26t_8xb128_in1k.py
#   bash tools/dist_train.sh configs/co_advise/$CONFIG 8
# What the two teachers alone bring; the paper gives no figure for it.
_base_ = './co-advise_deit-tiny_regnety-600mf-halonet26t_8xb128_in1k.py'

model = dict(student=dict(backbone=_base_.extra_token_backbone))
