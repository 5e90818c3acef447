# The assistant: DeiT III-Base (ImageNet-21K) teaches DeiT-Small by soft labels,
# arXiv:1902.03393. ta2_deit-tiny_deit-small_8xb128_in1k.py goes on.
#   bash tools/dist_train.sh \
#     configs/teacher_assistant/ta1_deit-small_deit3-base_8xb128_in1k.py 8
# The paper has CNNs only; not yet run here.
_base_ = '../vitkd/vitkd_deit-small_deit3-base_8xb128_in1k.py'

# weights and temperature as in configs/kd
model = dict(
    task_weight=0.5,
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.5),
        ),
    ),
)
