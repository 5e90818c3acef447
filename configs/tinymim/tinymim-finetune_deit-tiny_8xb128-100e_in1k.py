# Fine-tunes DeiT-Tiny on ImageNet-1K, after its pre-training by TinyMIM,
# arXiv:2301.01296. After tinymim-pretrain_deit-tiny_deit-small_32xb64-300e_in1k.py:
#   bash tools/dist_train.sh \
#     configs/tinymim/tinymim-finetune_deit-tiny_8xb128-100e_in1k.py 8
# Its figures in the authors' table are in metafile.yml; not yet reproduced.
_base_ = './_base_/finetune.py'

student_checkpoint = (
    'work_dirs/tinymim-pretrain_deit-tiny_deit-small_32xb64-300e_in1k/epoch_300.pth'
)
model = dict(
    backbone={
        **_base_.tiny_student.backbone,
        'init_cfg': dict(
            type='Pretrained', checkpoint=student_checkpoint, prefix='student.backbone.'
        ),
    },
    head=_base_.tiny_student.head,
)
