# Fine-tunes TinyViT-21M on ImageNet-1K, after its pre-training, arXiv:2207.10666. After
# tinyvit-pretrain_tinyvit-21m_clip-vit-large_32xb128-90e_in21k.py:
#   C=configs/tinyvit/tinyvit-finetune_tinyvit-21m_8xb128-30e_in1k.py
#   bash tools/dist_train.sh $C 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = ['./_base_/finetune.py', './_base_/students.py']

# what the pre-training leaves; its classifier is not used
student_checkpoint = (
    'work_dirs/tinyvit-pretrain_tinyvit-21m_clip-vit-large_32xb128-90e_in21k/'
    'epoch_90.pth'
)

model = dict(
    backbone=dict(
        _base_.students['21m'].backbone,
        img_size=(_base_.image_size,) * 2,
        init_cfg=dict(
            type='Pretrained', checkpoint=student_checkpoint, prefix='student.backbone.'
        ),
    ),
    head=dict(_base_.students['21m'].head, num_classes=1000),
)
