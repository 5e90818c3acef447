# Fine-tunes what tinymim-pretrain_digits.py left on 200 labels.
#   python tools/train.py configs/tinymim/tinymim-finetune_digits.py
_base_ = '../digits/digits_student.py'

student_checkpoint = 'work_dirs/tinymim-pretrain_digits/epoch_29.pth'
model = dict(
    backbone=dict(
        layer_cfgs=[*[dict()] * 5, dict(num_heads=4)],
        init_cfg=dict(
            type='Pretrained', checkpoint=student_checkpoint, prefix='student.backbone.'
        ),
    )
)
# 100 ep * 4 iters/ep = 400 iters, the other half
optim_wrapper = dict(
    constructor='mmvitkd.LearningRateDecayOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.8),
)
train_cfg = dict(max_epochs=100, val_interval=10)
