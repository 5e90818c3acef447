# A teacher of other patches than the student's. By methods.py's protocol.
_base_ = './methods.py'

title = 'A teacher with smaller patches, on digits'
pair = 'vitkd-patch4_digits.py'
teachers = dict(_delete_=True, ViT4='teacher-patch4_digits.py')
to_beat = 'KD'

methods = [
    dict(name='student alone', config='../digits/digits_student.py'),
    dict(
        name='KD',
        terms_of='../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py',
        weights="half each for labels and teacher, temperature 1, of ViTKD's code",
    ),
    dict(
        name='TaT',
        terms_of='../tat/tat_digits.py',
        weights="its authors' for ImageNet: 0.1 for labels, 0.2",
    ),
    dict(
        name='ViTKD',
        terms_of='../digits/vitkd_digits.py',
        weights="the paper's, scaled to these sums, rounded: 1e-3 and 1e-4",
    ),
]
excluded = dict(_delete_=True)
