# LIB-KD on digits, after digits_teacher-resnet.py and digits_teacher.py.
#   python -m mmvitkd cache configs/lib_kd/lib-kd_digits.py --out work_dirs/cache/lib-kd
#   python -m mmvitkd train work_dirs/cache/lib-kd/lib-kd_digits_cached.py
_base_ = '../digits/vitkd_digits.py'

model = dict(
    task_weight=0.5,
    teacher=None,
    teachers=dict(
        conv=dict(
            cfg='mmvitkd::digits/digits_teacher-resnet.py',
            checkpoint='work_dirs/digits_teacher-resnet/epoch_40.pth',
        ),
        # stands in for an involution network, as in Co-advise's config
        inv=dict(
            cfg='mmvitkd::digits/digits_teacher.py',
            checkpoint='work_dirs/digits_teacher/epoch_40.pth',
        ),
    ),
    terms=dict(
        _delete_=True,
        conv=dict(
            student='head',
            teacher='conv:head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.25),
        ),
        inv=dict(
            student='head',
            teacher='inv:head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.25),
        ),
    ),
)
