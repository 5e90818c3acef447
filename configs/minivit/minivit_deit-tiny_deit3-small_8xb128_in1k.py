# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by MiniViT's relations,
# arXiv:2204.07154
#   bash tools/dist_train.sh \
#     configs/minivit/minivit_deit-tiny_deit3-small_8xb128_in1k.py 8
# The paper's pairs are Swins; it has no figure for this one.
_base_ = '../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py'

# As released for Swins: soft labels alone, no true ones, every second block and the
# mean over these
model = dict(
    task_weight=0,
    terms=dict(
        kd=dict(loss=dict(loss_weight=1.0)),
        **{
            f'attn{i}': dict(
                student=dict(path=f'backbone.layers.{i}.attn.qkv', tokens='all'),
                teacher=dict(path=f'backbone.layers.{i}.attn.qkv', tokens='all'),
                loss=dict(type='QKVRelationLoss', loss_weight=1.0 / 6),
            )
            for i in range(1, 12, 2)
        },
        **{
            f'hidden{i}': dict(
                student=dict(path=f'backbone.layers.{i}', tokens='all'),
                teacher=dict(path=f'backbone.layers.{i}', tokens='all'),
                loss=dict(type='HiddenRelationLoss', loss_weight=0.1 / 6),
            )
            for i in range(1, 12, 2)
        },
    ),
)
