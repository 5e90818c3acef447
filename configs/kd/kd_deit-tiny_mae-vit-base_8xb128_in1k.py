# A negative control, arXiv:2511.06848: MAE's ViT-Base, which has no classifier, teaches
# by the soft labels of one at random. It is refused before the first step, unless
# default_hooks.check.allow_chance=True:
#   bash tools/dist_train.sh configs/kd/kd_deit-tiny_mae-vit-base_8xb128_in1k.py 8
# Its figures in the paper's logs are in metafile.yml; not yet reproduced.
_base_ = './kd_deit-tiny_deit3-small_8xb128_in1k.py'

model = dict(
    teacher=dict(
        _delete_=True,
        # timm fetches its weights from HuggingFace
        cfg=dict(
            type='TimmClassifier',
            model_name='vit_base_patch16_224.mae',
            pretrained=True,
            num_classes=1000,
        ),
    ),
    task_weight=0.1,
    terms=dict(kd=dict(teacher='model.head', loss=dict(loss_weight=0.9))),
)
