# RegNetY-16GF teaches DeiT-Tiny's distillation token by soft labels, arXiv:2012.12877
#   bash tools/dist_train.sh \
#     configs/deit_distilled/deit-soft_deit-tiny_regnety-16gf_8xb128_in1k.py 8
# No figure of the paper is known for soft labels on the token; not yet run here.
_base_ = './deit-hard_deit-tiny_regnety-16gf_8xb128_in1k.py'

# lambda = 0.1
model = dict(
    task_weight=0.9,
    terms=dict(
        dist=dict(
            loss=dict(_delete_=True, type='KDLoss', temperature=3.0, loss_weight=0.1)
        )
    ),
)
