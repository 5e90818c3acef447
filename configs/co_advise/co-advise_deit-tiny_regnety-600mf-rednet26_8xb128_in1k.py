# RegNetY-600MF and RedNet-26 teach a DeiT-Tiny with two stems, Co-advise,
# arXiv:2106.12378
#   CONFIG=configs/co_advise/co-advise_deit-tiny_regnety-600mf-rednet26_8xb128_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = [
    '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py',
    './_base_/rednet.py',
]

model = dict(
    student=_base_.cross_bias_student,
    teacher=None,
    teachers=dict(
        conv=dict(
            # timm fetches its weights from HuggingFace
            cfg=dict(type='TimmClassifier', model_name='regnety_006', pretrained=True),
        ),
        inv=_base_.rednet26_teacher,
    ),
    terms=dict(_delete_=True, **_base_.co_advise_terms),
)
optim_wrapper = dict(clip_grad=_base_.co_advise_clip_grad)
