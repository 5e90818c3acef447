# DINOv2-Small teaches a ViT-Tiny of patches of 14 without labels by Proteus (ICLR 2025)
#   bash tools/dist_train.sh \
#     configs/proteus/proteus_vit-tiny_dinov2-small_4xb128_in1k.py 4
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = [
    '../_base_/students/deit-tiny_in1k.py',
    './_base_/terms.py',
]

_base_.proteus_terms.token.teacher.path = 'model.norm'
_base_.proteus_terms.patch.teacher = 'model.norm'
_base_.proteus_terms.masked.teacher = 'model.norm'
# 256 patches, 224 / 14 squared
_base_.proteus_terms.token.loss.loss_weight = 1 + 1 / 257
_base_.proteus_terms.patch.loss.loss_weight = 256 / 257
model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    # as released, no Mixup and CutMix
    student={
        **_base_.model,
        'backbone': dict(
            _base_.model.backbone, patch_size=14, layer_scale_init_value=1.0
        ),
        'head': None,
        'train_cfg': None,
    },
    teacher=dict(
        # timm fetches its weights
        cfg=dict(
            type='TimmClassifier',
            model_name='vit_small_patch14_dinov2.lvd142m',
            pretrained=True,
            num_classes=0,
            img_size=_base_.image_size,
        ),
    ),
    task_weight=0,
    terms=_base_.proteus_terms,
)

# 4 GPUs x 128 = 512, to which 5e-4 belongs; every image three times, as DeiT's
train_dataloader = dict(
    batch_size=128,
    sampler=dict(_delete_=True, type='RepeatAugSampler', shuffle=True),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=None)
param_scheduler = [
    # 1e-6 / 5e-4
    dict(
        type='LinearLR',
        start_factor=2e-3,
        by_epoch=True,
        end=5,
        convert_to_iter_based=True,
    ),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=5),
]
auto_scale_lr = dict(base_batch_size=512)
train_cfg = dict(val_interval=10)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3, save_best='knn20/top1'))
val_evaluator = test_evaluator = []  # without a head, the hook below validates
custom_hooks = [dict(type='mmvitkd.FeatureProbeHook', k=20, max_images=50000)]
