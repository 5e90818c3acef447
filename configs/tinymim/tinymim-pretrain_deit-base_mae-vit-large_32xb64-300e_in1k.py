# MAE's ViT-Large teaches DeiT-Base by relations of its 18th block, without labels:
# TinyMIM, arXiv:2301.01296
#   bash tools/dist_train.sh \
#     configs/tinymim/tinymim-pretrain_deit-base_mae-vit-large_32xb64-300e_in1k.py 32
# The pre-training has no figure of its own; not yet run here.
_base_ = './_base_/pretrain.py'

model = dict(
    student=_base_.base_student,
    teacher=dict(
        # timm fetches its weights from HuggingFace
        cfg=dict(
            type='TimmClassifier',
            model_name='vit_large_patch16_224.mae',
            pretrained=True,
        ),
    ),
    terms=dict(
        relations=dict(
            student=dict(path='backbone.layers.11.attn.qkv', tokens='all'),
            teacher=dict(path='model.blocks.17.attn.qkv', tokens='all'),
            loss=dict(
                type='QKVRelationLoss',
                relation_heads=16,
                relations=['qk', 'vv'],
                loss_weight=2.0,
            ),
        ),
    ),
)
