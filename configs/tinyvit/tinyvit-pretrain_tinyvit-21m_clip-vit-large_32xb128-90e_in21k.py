# CLIP's ViT-Large teaches TinyViT-21M on ImageNet-21K without labels, arXiv:2207.10666
#   C=configs/tinyvit/tinyvit-pretrain_tinyvit-21m_clip-vit-large_32xb128-90e_in21k.py
#   bash tools/dist_train.sh $C 32
# Its figures in the paper are those of the fine-tuned student.
_base_ = ['./_base_/pretrain.py', './_base_/students.py']

model = dict(
    student=dict(
        _base_.students['21m'],
        head=dict(_base_.students['21m'].head, num_classes=11821),
    ),
    teacher=dict(
        # timm fetches its weights from HuggingFace
        cfg=dict(
            type='TimmClassifier',
            model_name='vit_large_patch14_clip_224.openai_ft_in12k',
            pretrained=True,
            num_classes=11821,
        ),
    ),
    terms=dict(kd=dict(teacher='model.head')),
)
data_preprocessor = dict(num_classes=11821)
