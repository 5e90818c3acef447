# Fine-tunes what tinyvit-pretrain_digits.py left on 200 labels.
#   python tools/train.py configs/tinyvit/tinyvit-finetune_digits.py
_base_ = '../digits/digits_student.py'

student_checkpoint = 'work_dirs/tinyvit-pretrain_digits/epoch_29.pth'
model = dict(
    init_cfg=dict(type='Pretrained', checkpoint=student_checkpoint, prefix='student.')
)
# 100 ep * 4 iters/ep = 400 iters, the other half; a quarter of the rate, as released
optim_wrapper = dict(
    constructor='mmvitkd.LearningRateDecayOptimWrapperConstructor',
    optimizer=dict(lr=2e-3, weight_decay=1e-8),
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.8),
)
train_cfg = dict(max_epochs=100, val_interval=10)
