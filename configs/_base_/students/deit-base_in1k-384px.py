# DeiT-Base at 384 pixels, with the augmentation of its training at 224.
_base_ = './deit-base_in1k.py'

image_size = 384
# ---- all below follows them, also from a config that inherits from this one ----

model = dict(backbone=dict(img_size=image_size))
# upstream's transforms, at this size
sizes = dict(
    RandomResizedCrop=dict(scale=image_size),
    ResizeEdge=dict(scale=image_size * 8 // 7),  # 256 for 224
    CenterCrop=dict(crop_size=image_size),
)
train_pipeline = [dict(t, **sizes.get(t['type'], {})) for t in _base_.train_pipeline]
test_pipeline = [dict(t, **sizes.get(t['type'], {})) for t in _base_.test_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
