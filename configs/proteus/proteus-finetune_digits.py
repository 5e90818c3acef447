# Fine-tunes what proteus_digits.py left on 200 labels of digits.
#   python tools/train.py configs/proteus/proteus-finetune_digits.py
_base_ = '../digits/digits_student.py'

student_checkpoint = 'work_dirs/proteus_digits/epoch_57.pth'
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='mmvitkd.StrictPretrained',
            checkpoint=student_checkpoint,
            prefix='student.backbone.',
        )
    )
)
# a quarter of the rate from the beginning, less for lower layers, as TinyViT's
optim_wrapper = dict(
    constructor='mmvitkd.LearningRateDecayOptimWrapperConstructor',
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.8),
)
