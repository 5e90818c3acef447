# Swin-Base (ImageNet-21K) teaches Mini-Swin-S, whose blocks share their weights two by
# two, by MiniViT's relations, arXiv:2204.07154
#   CONFIG=configs/minivit/minivit_mini-swin-small_swin-base_8xb128_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './minivit_mini-swin-tiny_swin-base_8xb128_in1k.py'

# As released: blocks 1, 3, 9, 15, 21, 23 of both, here by their stage; upstream's
# Swin-Small has the schedule of its Swin-Tiny
blocks = {
    1: '0.blocks.1',
    3: '1.blocks.1',
    9: '2.blocks.5',
    15: '2.blocks.11',
    21: '2.blocks.17',
    23: '3.blocks.1',
}
model = dict(
    student=dict(backbone=dict(arch='small', share_num=2, drop_path_rate=0.1)),
    terms=dict(
        _delete_=True,
        kd=_base_.model.terms.kd,
        **{
            f'attn{i}': dict(
                student=dict(path=f'backbone.stages.{b}.attn.w_msa.qkv', tokens='all'),
                teacher=dict(path=f'backbone.stages.{b}.attn.w_msa.qkv', tokens='all'),
                loss=dict(type='QKVRelationLoss', loss_weight=1.0 / 6),
            )
            for i, b in blocks.items()
        },
        **{
            f'hidden{i}': dict(
                student=f'backbone.stages.{b}',
                teacher=f'backbone.stages.{b}',
                loss=dict(type='HiddenRelationLoss', loss_weight=0.1 / 6),
            )
            for i, b in blocks.items()
        },
    ),
)
del blocks
