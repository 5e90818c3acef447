# BEiT-Large teaches TinyViT-11M on ImageNet-21K without labels, arXiv:2207.10666
#   C=configs/tinyvit/tinyvit-pretrain_tinyvit-11m_beit-large_32xb128-90e_in21k.py
#   bash tools/dist_train.sh $C 32
# Its figures in the paper are those of the fine-tuned student.
_base_ = ['./_base_/pretrain.py', './_base_/students.py']

model = dict(
    student=dict(
        _base_.students['11m'],
        head=dict(_base_.students['11m'].head, num_classes=21841),
    ),
    teacher=dict(
        # timm fetches its weights from HuggingFace
        cfg=dict(
            type='TimmClassifier',
            model_name='beit_large_patch16_224.in22k_ft_in22k',
            pretrained=True,
            num_classes=21841,
        ),
    ),
    terms=dict(kd=dict(teacher='model.head')),
)
data_preprocessor = dict(num_classes=21841)
