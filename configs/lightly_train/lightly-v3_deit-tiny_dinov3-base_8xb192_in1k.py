# DINOv3-Base teaches DeiT-Tiny without labels, by LightlyTrain's v3
#   bash tools/dist_train.sh \
#     configs/lightly_train/lightly-v3_deit-tiny_dinov3-base_8xb192_in1k.py 8
# Not yet run here.
_base_ = [
    '../_base_/students/deit-tiny_in1k.py',
    './_base_/terms.py',
]

_base_.lightly_terms.queue.teacher.path = 'model.norm'
_base_.lightly_terms.relation.teacher = 'model.norm'
model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    # images alone are mixed, by shares that are uniform in (0, 1)
    student={
        **_base_.model,
        'head': None,
        'train_cfg': dict(augments=dict(type='Mixup', alpha=1.0)),
    },
    teacher=dict(
        # timm fetches its weights
        cfg=dict(
            type='TimmClassifier',
            model_name='vit_base_patch16_dinov3.lvd1689m',
            pretrained=True,
            num_classes=0,
        ),
    ),
    task_weight=0,
    terms=_base_.lightly_terms,
)

# 8 GPUs x 192 = 1536, to which 5e-4 belongs
train_dataloader = dict(batch_size=192)
optim_wrapper = dict(optimizer=dict(lr=5e-4, weight_decay=0.04))
auto_scale_lr = dict(base_batch_size=1536)
train_cfg = dict(val_interval=10)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3, save_best='knn20/top1'))
val_evaluator = test_evaluator = []  # without a head, the hook below validates
custom_hooks = [dict(type='mmvitkd.FeatureProbeHook', k=20, max_images=50000)]
