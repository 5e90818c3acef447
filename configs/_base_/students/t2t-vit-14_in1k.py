# T2T-ViT-14 on ImageNet as MMPretrain trains it, with one place each for the images'
# folder and their size.
_base_ = 'mmpretrain::t2t_vit/t2t-vit-t-14_8xb64_in1k.py'

data_root = 'data/imagenet'
image_size = 224
# ---- all below follows them, also from a config that inherits from this one ----

model = dict(backbone=dict(img_size=image_size))
# upstream's transforms, at this size
sizes = dict(
    RandomResizedCrop=dict(scale=image_size),
    ResizeEdge=dict(scale=image_size * 31 // 28),  # 248 for 224
    CenterCrop=dict(crop_size=image_size),
)
train_pipeline = [dict(t, **sizes.get(t['type'], {})) for t in _base_.train_pipeline]
test_pipeline = [dict(t, **sizes.get(t['type'], {})) for t in _base_.test_pipeline]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
