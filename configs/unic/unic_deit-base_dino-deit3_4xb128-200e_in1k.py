# DINO's and DeiT III's ViT-Base teach DeiT-Base without labels by UNIC (ECCV 2024)
#   bash tools/dist_train.sh \
#     configs/unic/unic_deit-base_dino-deit3_4xb128-200e_in1k.py 4
# Not yet run here.
_base_ = ['../_base_/students/deit-base_in1k.py', './_base_/terms.py']

# the ladder of projectors, of what all blocks yield before the last norm
_blocks = [f'backbone.layers.{i}' for i in range(12)]
for _term in _base_.unic_terms.values():
    _term.neck = dict(type='LadderProjector')
for _name in ('one', 'other'):
    _base_.unic_terms[f'{_name}_token'].student.path = _blocks
    _base_.unic_terms[f'{_name}_patch'].student = _blocks
del _term, _name
_base_.unic_terms.one_token.teacher.path = 'one:model.norm'
_base_.unic_terms.one_patch.teacher = 'one:model.norm'
_base_.unic_terms.other_token.teacher.path = 'other:model.norm'
_base_.unic_terms.other_patch.teacher = 'other:model.norm'
model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    # as released, no Mixup and CutMix
    student={
        **_base_.model,
        'backbone': dict(_base_.model.backbone, drop_path_rate=0.1),
        'head': None,
        'train_cfg': None,
    },
    # timm fetches their weights
    teachers=dict(
        one=dict(
            cfg=dict(
                type='TimmClassifier',
                model_name='vit_base_patch16_224.dino',
                pretrained=True,
                num_classes=0,
            ),
        ),
        other=dict(
            cfg=dict(
                type='TimmClassifier',
                model_name='deit3_base_patch16_224.fb_in1k',
                pretrained=True,
                num_classes=0,
            ),
        ),
    ),
    task_weight=0,
    teacher_dropping=0.5,
    terms=_base_.unic_terms,
)

# 4 GPUs x 128 = 512; 3e-4 belongs to 256
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    optimizer=dict(lr=6e-4, weight_decay=0.03, betas=(0.9, 0.99)), clip_grad=None
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-6,
        by_epoch=True,
        end=10,
        convert_to_iter_based=True,
    ),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, begin=10),
]
auto_scale_lr = dict(base_batch_size=512)
train_cfg = dict(max_epochs=_base_.unic_epochs, val_interval=10)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3, save_best='knn20/top1'))
val_evaluator = test_evaluator = []  # without a head, the hook below validates
custom_hooks = [
    _base_.unic_hook,
    dict(type='mmvitkd.FeatureProbeHook', k=20, max_images=50000),
]
