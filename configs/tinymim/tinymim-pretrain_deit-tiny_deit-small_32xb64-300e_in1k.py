# DeiT-Small, pre-trained by TinyMIM, teaches DeiT-Tiny by relations of its last block,
# arXiv:2301.01296. After tinymim-pretrain_deit-small_deit-base_32xb64-300e_in1k.py:
#   bash tools/dist_train.sh \
#     configs/tinymim/tinymim-pretrain_deit-tiny_deit-small_32xb64-300e_in1k.py 32
# The pre-training has no figure of its own; not yet run here.
_base_ = './_base_/pretrain.py'

model = dict(
    student=_base_.tiny_student,
    teacher=dict(
        cfg=_base_.small_student,
        checkpoint='work_dirs/tinymim-pretrain_deit-small_deit-base_32xb64-300e_in1k/'
        'epoch_300.pth',
        prefix='student.',
    ),
    terms=dict(
        relations=dict(
            student=dict(path='backbone.layers.11.attn.qkv', tokens='all'),
            teacher=dict(path='backbone.layers.11.attn.qkv', tokens='all'),
            loss=dict(
                type='QKVRelationLoss',
                relation_heads=12,
                relations=['qk', 'vv'],
                loss_weight=2.0,
            ),
        ),
    ),
)
