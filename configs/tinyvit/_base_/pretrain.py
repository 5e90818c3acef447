# Distillation on a large set of images without their labels; the teacher's outputs can
# be stored once for any student (README.md). Whole but for student and teacher.
_base_ = '../../_base_/students/deit-tiny_in1k.py'  # its augmentation

data_root = 'data/imagenet21k'
model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    task_weight=0,
    terms=dict(
        # at temperature 1 the gradients of TinyViT's cross-entropy
        kd=dict(
            student='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
        ),
    ),
)

train_dataloader = dict(
    # 32 GPUs x 128 = 4096
    batch_size=128,
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root=data_root,
        data_prefix='train',
        with_label=False,
        pipeline=_base_.train_pipeline,
    ),
)
# without labels there is nothing to validate on
val_dataloader = None
val_cfg = None
val_evaluator = None
test_dataloader = None
test_cfg = None
test_evaluator = None

# lr = 2.5e-4 * 4096 / 512
optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=5, convert_to_iter_based=True),
    # 5e-6 of the released code, scaled like the rate
    dict(type='CosineAnnealingLR', eta_min=4e-5, begin=5, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=90)
auto_scale_lr = dict(base_batch_size=4096)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
