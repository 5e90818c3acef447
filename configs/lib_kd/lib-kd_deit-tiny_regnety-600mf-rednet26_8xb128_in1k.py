# RegNetY-600MF and RedNet-26 teach a DeiT-Tiny by their soft labels, after LIB-KD,
# arXiv:2310.00369. Its logits are computed in advance:
#   CONFIG=lib-kd_deit-tiny_regnety-600mf-rednet26_8xb128_in1k
#   python -m mmvitkd cache configs/lib_kd/$CONFIG.py --out work_dirs/cache/lib-kd
#   bash tools/dist_train.sh work_dirs/cache/lib-kd/${CONFIG}_cached.py 8
# No figure of the paper is compared with; not yet run here.
_base_ = [
    '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py',
    '../co_advise/_base_/rednet.py',
]

# half for the labels and a quarter for each teacher: KD from the mean of both
model = dict(
    task_weight=0.5,
    teacher=None,
    teachers=dict(
        conv=dict(
            # timm fetches its weights from HuggingFace
            cfg=dict(type='TimmClassifier', model_name='regnety_006', pretrained=True),
        ),
        inv=_base_.rednet26_teacher,
    ),
    terms=dict(
        _delete_=True,
        conv=dict(
            student='head',
            teacher='conv:model.head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.25),
        ),
        inv=dict(
            student='head',
            teacher='inv:head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.25),
        ),
    ),
)
