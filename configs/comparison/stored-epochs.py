# The question of fashion-mnist-stored-epochs.py on digits, by methods.py's protocol, at
# the factor that it chose for ViTKD + NKD, which is 1.
_base_ = './methods.py'

title = 'Stored epochs of a teacher, on digits'
to_beat = timed_against = 'ViTKD + NKD, live teacher'
without_factor = 'Nothing is tuned here: the weights are those of methods.py.'
_taught = dict(config='../digits/vitkd-nkd_digits.py', tuned=[])

methods = [
    dict(name='student alone', config='../digits/digits_student.py'),
    dict(name='ViTKD + NKD, live teacher', **_taught),
    # as many as the training has: none comes again
    dict(name='ViTKD + NKD, 200 stored epochs', stored_epochs=200, **_taught),
    dict(name='ViTKD + NKD, 16 stored epochs', stored_epochs=16, **_taught),
    dict(name='ViTKD + NKD, 4 stored epochs', stored_epochs=4, **_taught),
    dict(name='ViTKD + NKD, 1 stored epoch', stored_epochs=1, **_taught),
]
excluded = dict(_delete_=True)
