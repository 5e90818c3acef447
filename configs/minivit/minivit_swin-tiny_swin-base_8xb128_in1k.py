# Swin-Base (ImageNet-21K) teaches Swin-Tiny by MiniViT's relations, arXiv:2204.07154
#   bash tools/dist_train.sh \
#     configs/minivit/minivit_swin-tiny_swin-base_8xb128_in1k.py 8
# The paper's students share weights among blocks; it has no figure for this one.
_base_ = '../vitkd/vitkd_swin-tiny_swin-base_8xb128_in1k.py'

# Student blocks 1, 3, 5, 7, 9, 11 and teacher blocks 1, 3, 9, 15, 21, 23 of the whole
# net, as released, here by their stage; their windows are the shifted ones
pairs = {
    1: ('0.blocks.1', '0.blocks.1'),
    3: ('1.blocks.1', '1.blocks.1'),
    5: ('2.blocks.1', '2.blocks.5'),
    7: ('2.blocks.3', '2.blocks.11'),
    9: ('2.blocks.5', '2.blocks.17'),
    11: ('3.blocks.1', '3.blocks.1'),
}

# As released: soft labels alone, no true ones, and the mean over the pairs of blocks
model = dict(
    task_weight=0,
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
        ),
        **{
            f'attn{i}': dict(
                student=dict(path=f'backbone.stages.{s}.attn.w_msa.qkv', tokens='all'),
                teacher=dict(path=f'backbone.stages.{t}.attn.w_msa.qkv', tokens='all'),
                loss=dict(type='QKVRelationLoss', loss_weight=1.0 / 6),
            )
            for i, (s, t) in pairs.items()
        },
        **{
            f'hidden{i}': dict(
                student=f'backbone.stages.{s}',
                teacher=f'backbone.stages.{t}',
                loss=dict(type='HiddenRelationLoss', loss_weight=0.1 / 6),
            )
            for i, (s, t) in pairs.items()
        },
    ),
)
del pairs
