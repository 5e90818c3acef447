# ViTKD on your own images; docs/own_data.md walks through it.
# They lie in train/, val/ and, if you have one, test/, in a subfolder for each class.
#   python -m mmvitkd new-config vitkd_own-data my_config.py
#   python -m mmvitkd train my_config.py --amp
_base_ = 'mmpretrain::deit/deit-tiny_4xb256_in1k.py'

# ---- the five lines: your images, how many classes, their size, who teaches ----
data_root = 'data/own'
num_classes = 10
image_size = 224
teacher_cfg = 'mmpretrain::deit3/deit3-small-p16_64xb64_in1k.py'
teacher_checkpoint = 'https://mmassets.onedl.ai/mmclassification/v0/deit3/deit3-small-p16_in21k-pre_3rdparty_in1k_20221009-dcd90827.pth'
# ---- all below follows them, also from a config that inherits from this one ----

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=dict(
        _base_.model,
        backbone=dict(
            _base_.model.backbone,
            img_size=image_size,
            # ImageNet's weights to begin with; init_cfg=None begins from scratch
            init_cfg=dict(
                type='Pretrained',
                checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
                'deit/deit-tiny_pt-4xb256_in1k_20220218-13b382a0.pth',
                prefix='backbone.',
            ),
        ),
        head=dict(_base_.model.head, num_classes=num_classes),
    ),
    # images are resized to the teacher's own size
    teacher=dict(cfg=teacher_cfg, checkpoint=teacher_checkpoint),
    # features only, so that the teacher's classes need not be yours
    terms=dict(
        mimic0=dict(
            student='backbone.layers.0',
            teacher='backbone.layers.0',
            neck=dict(type='LinearProjector'),
            loss=dict(type='ViTKDMimicLoss', loss_weight=3e-5),
        ),
        mimic1=dict(
            student='backbone.layers.1',
            teacher='backbone.layers.1',
            neck=dict(type='LinearProjector'),
            loss=dict(type='ViTKDMimicLoss', loss_weight=3e-5),
        ),
        gen=dict(
            student='backbone.ln1',
            teacher='backbone.ln1',
            neck=dict(type='ConvGenerativeProjector', mask_ratio=0.5),
            loss=dict(type='ViTKDGenLoss', loss_weight=3e-6),
        ),
    ),
)

data_preprocessor = dict(num_classes=num_classes)
# upstream's transforms, at this size
sizes = dict(
    RandomResizedCrop=dict(scale=image_size),
    ResizeEdge=dict(scale=image_size * 8 // 7),  # 256 for 224
    CenterCrop=dict(crop_size=image_size),
)
train_pipeline = [dict(t, **sizes.get(t['type'], {})) for t in _base_.train_pipeline]
test_pipeline = [dict(t, **sizes.get(t['type'], {})) for t in _base_.test_pipeline]
images = dict(type='mmvitkd.ImageFolder', data_root=data_root, num_classes=num_classes)
train_set = dict(images, split='train', pipeline=train_pipeline)
val_set = dict(images, split='val', pipeline=test_pipeline)
# where there is no test/, the images of val/, which the log says
test_set = dict(images, split='test', fallback='val', pipeline=test_pipeline)
train_dataloader = dict(batch_size=64, dataset=dict(train_set, _delete_=True))
val_dataloader = dict(dataset=dict(val_set, _delete_=True))
test_dataloader = dict(dataset=dict(test_set, _delete_=True))
val_evaluator = dict(topk=(1,))  # there may be fewer than five classes
test_evaluator = val_evaluator

# Out of memory: halve batch_size and set accumulative_counts=2 here. The learning
# rate is one for fine-tuning with 64 images a step, a tenth of what scratch takes.
optim_wrapper = dict(optimizer=dict(lr=1e-4))
auto_scale_lr = dict(base_batch_size=64)
train_cfg = dict(max_epochs=50)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-6, begin=5, convert_to_iter_based=True),
]
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(max_keep_ckpts=1, save_best='accuracy/top1'),
)
